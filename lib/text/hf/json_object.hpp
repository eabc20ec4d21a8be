/// An object of a JSON document whose keys are taken one by one; `finish` refuses keys that nobody took, so that
/// nothing in a file is overlooked.
#pragma once
#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "core/json.hpp"

namespace pipeformer::hf {

/// Each getter throws Error naming file and place when a value has the wrong type, or, without a fallback, is missing.
/// A key that is null counts as missing.
class JsonObject {
 public:
  explicit JsonObject(const Json& value);

  std::optional<Json> find(const std::string& key);
  Json need(const std::string& key);
  std::string text(const std::string& key) { return need(key).string(); }
  std::string text(const std::string& key, const std::string& fallback);
  std::optional<std::string> maybe_text(const std::string& key);
  bool boolean(const std::string& key) { return need(key).boolean(); }
  bool boolean(const std::string& key, bool fallback);
  std::int64_t integer(const std::string& key) { return need(key).integer(); }
  std::int64_t integer(const std::string& key, std::int64_t fallback);
  char32_t character(const std::string& key);
  Json array(const std::string& key);
  void ignore(const std::string& key) { taken_.insert(key); }  ///< It says nothing that changes ids or text.
  void finish() const;
  [[noreturn]] void fail(const std::string& message) const;  ///< Error: file and place, ": ", the message.
  /// Error: file and place of a member, its value, "which is not understood".
  [[noreturn]] void not_understood(const std::string& key) const;

 private:
  Json value_;
  std::set<std::string> taken_;
};

}  // namespace pipeformer::hf
