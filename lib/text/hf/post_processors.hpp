/// The section `post_processor` of a tokenizer.json: the control ids around one text or two.
#pragma once
#include <cstdint>
#include <vector>

#include "text/hf/json_object.hpp"
#include "text/tokenizer.hpp"

namespace pipeformer::hf {

/// One template for one text and one for a pair: ids to write, and where the texts go.
class Template {
 public:
  struct Item {
    enum class Kind { control, first, second } kind;
    std::int32_t type = 0;
    std::vector<std::int32_t> ids = {};  // Of a control.
  };
  std::vector<Item> single{{Item::Kind::first, 0}};
  std::vector<Item> pair{{Item::Kind::first, 0}, {Item::Kind::second, 1}};

  TokenRecord apply(const std::vector<std::int32_t>& first, const std::vector<std::int32_t>* second,
                    bool control_ids) const;
  bool adds_ids() const;
};

/// Throws Error for a type or key that is not understood.
Template read_post_processor(const Json& section);

}  // namespace pipeformer::hf
