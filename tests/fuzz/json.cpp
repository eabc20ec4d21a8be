// JSON documents, and every value of one that parses.
#include "core/json.hpp"

#include "fuzz.hpp"

using namespace pipeformer;

static void visit(const Json& value) {
  if (value.is_string()) json_string(value.string());
  if (value.is_number()) value.number();
  if (value.is_array() || value.is_object())
    for (std::size_t i = 0; i < value.size(); ++i) visit(value[i]);
  if (value.is_object())
    for (std::size_t i = 0; i < value.size(); ++i)
      if (!value.find(value.key(i))) std::abort();
}

void fuzz(std::span<const std::byte> bytes) {
  const auto document = JsonDocument::parse(test::text(bytes), "x.json", {.values = 10000});
  visit(document.root());
}
