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

std::int64_t KeptModels::step_of(const std::string& name) const {
  const std::string prefix = std::filesystem::path(output_).filename().string() + kStep;
  if (!name.starts_with(prefix)) return 0;
  std::int64_t step = 0;
  std::from_chars(name.data() + prefix.size(), name.data() + name.size(), step);
  // The number as we write it: "step-07.h5" and "step--7.h5" are somebody else's.
  return step > 0 && std::filesystem::path(path(step)).filename() == name ? step : 0;
}

std::vector<std::string> KeptModels::others() const {
  if (!active()) return {};
  namespace fs = std::filesystem;
  const fs::path directory = fs::path(output_).has_parent_path() ? fs::path(output_).parent_path() : fs::path(".");
  std::vector<std::int64_t> found;
  if (!fs::is_directory(directory)) return {};
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::int64_t step = step_of(entry.path().filename().string());
    if (step > 0 && entry.is_regular_file() && std::find(steps.begin(), steps.end(), step) == steps.end())
      found.push_back(step);
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> paths;
  paths.reserve(found.size());
  for (const std::int64_t step : found) paths.push_back(path(step));
  return paths;
}

void KeptModels::remove_others() const {
  for (const std::string& path : others()) std::filesystem::remove(path);
}

}  // namespace pipeformer
