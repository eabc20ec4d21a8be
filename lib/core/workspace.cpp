#include "core/workspace.hpp"

#include <algorithm>
#include <cstring>

namespace pipeformer {

std::byte* Workspace::take(std::size_t bytes) {
  bytes = (bytes + 63) / 64 * 64;
  while (block_ < blocks_.size() && used_ + bytes > blocks_[block_].size()) {
    ++block_;
    used_ = 0;
  }
  if (block_ == blocks_.size()) {
    // Each new block doubles the whole, so that a few blocks serve the largest batch.
    std::size_t whole = 0;
    for (const auto& block : blocks_) whole += block.size();
    blocks_.emplace_back();
    blocks_.back().resize(whole_pages(std::max({bytes, whole, std::size_t{1} << 20})));
    used_ = 0;
  }
  std::byte* pointer = blocks_[block_].data() + used_;
  used_ += bytes;
  return pointer;
}

float* Workspace::zeros(std::int64_t n) {
  float* pointer = get(n);
  std::memset(pointer, 0, static_cast<std::size_t>(n) * sizeof(float));
  return pointer;
}

void Workspace::release(Mark mark) {
  block_ = mark.block;
  used_ = mark.used;
}

}  // namespace pipeformer
