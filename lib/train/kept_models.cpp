#include "train/kept_models.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <numeric>

namespace pipeformer {
namespace {
constexpr const char* kStep = ".step-";
constexpr const char* kSuffix = ".h5";
}  // namespace

std::string KeptModels::path(std::int64_t step) const {
  return output_ + kStep + std::to_string(step) + kSuffix;
}

void KeptModels::add(std::int64_t step, double cost) {
  steps.push_back(step);
  costs.push_back(cost);
  const std::size_t count = steps.size();
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return costs[a] < costs[b]; });
  std::vector<bool> wanted(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (static_cast<std::int64_t>(i) < settings_.best) wanted[order[i]] = true;
    if (static_cast<std::int64_t>(count - i) <= settings_.last) wanted[i] = true;
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (!wanted[i]) continue;
    steps[kept] = steps[i];
    costs[kept++] = costs[i];
  }
  steps.resize(kept);
  costs.resize(kept);
}

void KeptModels::remove_others() const {
  if (!active()) return;
  namespace fs = std::filesystem;
  const fs::path directory = fs::path(output_).has_parent_path() ? fs::path(output_).parent_path() : fs::path(".");
  const std::string prefix = fs::path(output_).filename().string() + kStep;
  std::vector<fs::path> unwanted;
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind(prefix, 0) != 0) continue;
    std::int64_t step = 0;
    const char* end = name.data() + name.size();
    const auto parsed = std::from_chars(name.data() + prefix.size(), end, step);
    if (std::string(parsed.ptr, end) == kSuffix && std::find(steps.begin(), steps.end(), step) == steps.end())
      unwanted.push_back(entry.path());
  }
  for (const fs::path& path : unwanted) fs::remove(path);
}

}  // namespace pipeformer
