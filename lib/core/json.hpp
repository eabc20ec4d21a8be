/// JSON (RFC 8259) as other people's files hold it: configurations, tokenizers, tables of tensors. Read whole, within
/// bounds, and checked like any hostile input; every message names the file and the place in it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace pipeformer {

/// Bounds on a document. The largest tokenizers have 40 MB and 3 million values; a value takes 40 bytes.
struct JsonLimits {
  std::size_t bytes = std::size_t{64} << 20;
  std::size_t values = std::size_t{8} << 20;
  std::size_t depth = 64;  ///< Of arrays and objects within each other.
};

/// One value of a document, which must live longer. Cheap to copy. Each of the typed getters throws Error when the
/// value is of another type: "config.json: hidden_size is "x", not a whole number".
class Json {
 public:
  bool is_null() const;
  bool is_boolean() const;
  bool is_number() const;
  bool is_string() const;
  bool is_array() const;
  bool is_object() const;

  bool boolean() const;
  std::int64_t integer() const;  ///< A whole number, also when written as 512.0.
  double number() const;
  const std::string& string() const;  ///< UTF-8; may hold zero bytes.

  /// The values of an array or object in the order of the file, and an object's keys.
  std::size_t size() const;
  Json operator[](std::size_t index) const;
  const std::string& key(std::size_t index) const;

  /// A member of an object by its key. at() throws Error when there is none; get() also passes over null, which in
  /// configurations means "not set".
  std::optional<Json> find(std::string_view key) const;
  std::optional<Json> get(std::string_view key) const;
  Json at(std::string_view key) const;

  /// The path to the value: "model.vocab", "layers[3].type"; "the document" for the root. Found by a search, since
  /// only messages need it.
  std::string path() const;
  std::string place() const;  ///< "config.json: model.vocab"
  /// Throws Error: the file, the path, the value (shortened), ", " and `problem`: "not one of gelu, relu".
  [[noreturn]] void fail(const std::string& problem) const;

 private:
  friend class JsonDocument;
  struct Node;
  struct Document;
  Json(const Document* document, const Node* node) : document_(document), node_(node) {}
  const Document* document_;
  const Node* node_;
};

class JsonDocument {
 public:
  /// Parses one value and nothing after it but white space. Throws Error ("config.json: line 3, column 7: ...") for
  /// what is no JSON, is no UTF-8, exceeds the limits, or has a key twice in one object.
  static JsonDocument parse(std::string_view text, const std::string& name, const JsonLimits& limits = {});
  JsonDocument(JsonDocument&&) noexcept;
  JsonDocument& operator=(JsonDocument&&) noexcept;
  ~JsonDocument();

  Json root() const&;
  Json root() && = delete;  ///< The values of a temporary would be gone.
  const std::string& name() const;

 private:
  JsonDocument();
  std::unique_ptr<Json::Document> document_;
};

/// Text as a JSON string, in quotes; throws Error when it is no UTF-8.
std::string json_string(std::string_view text);

}  // namespace pipeformer
