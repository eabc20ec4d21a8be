#include "text/hf/json_object.hpp"

#include "core/error.hpp"
#include "text/utf8.hpp"

namespace pipeformer::hf {

JsonObject::JsonObject(const Json& value) : value_(value) {
  if (!value.is_object()) value.fail("not an object");
}

std::optional<Json> JsonObject::find(const std::string& key) {
  taken_.insert(key);
  return value_.get(key);
}

Json JsonObject::need(const std::string& key) {
  if (const auto found = find(key)) return *found;
  fail(cat("has no '", key, "'"));
}

std::string JsonObject::text(const std::string& key, const std::string& fallback) {
  return maybe_text(key).value_or(fallback);
}
std::optional<std::string> JsonObject::maybe_text(const std::string& key) {
  const auto found = find(key);
  return found ? std::optional(found->string()) : std::nullopt;
}
bool JsonObject::boolean(const std::string& key, bool fallback) {
  const auto found = find(key);
  return found ? found->boolean() : fallback;
}
std::int64_t JsonObject::integer(const std::string& key, std::int64_t fallback) {
  const auto found = find(key);
  return found ? found->integer() : fallback;
}

char32_t JsonObject::character(const std::string& key) {
  const Json value = need(key);
  const std::u32string codes = utf8_to_codes(value.string());
  if (codes.size() != 1) value.fail("not one character");
  return codes[0];
}

Json JsonObject::array(const std::string& key) {
  const Json value = need(key);
  if (!value.is_array()) value.fail("not a list");
  return value;
}

void JsonObject::finish() const {
  for (std::size_t i = 0; i < value_.size(); ++i)
    if (!taken_.contains(value_.key(i))) not_understood(value_.key(i));
}

void JsonObject::fail(const std::string& message) const {
  throw Error(cat(value_.place(), ": ", message));
}

void JsonObject::not_understood(const std::string& key) const {
  value_.at(key).fail("which is not understood");
}

}  // namespace pipeformer::hf
