/// The continuations that beam search chooses among: the hypotheses of one sentence, each with one token more.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "search/requirement.hpp"

namespace pipeformer {

struct Extension {
  std::size_t from;  ///< Which hypothesis.
  std::int32_t id;
  double sum;                       ///< Of the log-probabilities, with that of the token.
  bool urged = false;               ///< It is there only because it is required.
  std::int64_t bank = 0, turn = 0;  ///< Where something is required.
};

/// Sorts the likeliest `enough` to the front, or all when there are fewer; returns their number. Of equals the earlier
/// hypothesis, then the lower id.
std::int64_t sort_likeliest(std::vector<Extension>&, std::int64_t enough);

/// Sorts as the banks take turns (search/search.hpp), without those that have no room for what they lack: banks below
/// `least`. progress_of: of the hypothesis, before the token.
void share_beam(std::vector<Extension>&, const Requirement&, std::int64_t least,
                const std::function<std::vector<std::int32_t>(std::size_t from)>& progress_of);

}  // namespace pipeformer
