#include "core/json.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <variant>
#include <vector>

#include "core/error.hpp"
#include "core/shortened.hpp"

namespace pipeformer {

/// An object's keys and values stand in the order of the file; `sorted` finds a key.
struct Json::Node {
  struct Object {
    std::vector<std::string> keys;
    std::vector<Node> values;
    std::vector<std::uint32_t> sorted;
  };
  using Array = std::vector<Node>;
  std::variant<std::nullptr_t, bool, std::int64_t, double, std::string, Array, std::unique_ptr<Object>> value;

  const Array* array() const { return std::get_if<Array>(&value); }
  const Object* object() const {
    const auto* held = std::get_if<std::unique_ptr<Object>>(&value);
    return held == nullptr ? nullptr : held->get();
  }
  const Array* children() const {
    const Object* members = object();
    return members == nullptr ? array() : &members->values;
  }
};

struct Json::Document {
  using Node = Json::Node;
  std::string name;
  Node root;
};

namespace {

/// The characters of a text, noting how far they were read: the parser tells the place of syntax errors only.
class Cursor {
 public:
  using iterator_category = std::forward_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;
  Cursor() = default;
  Cursor(const char* at, const char** seen) : at_(at), seen_(seen) {}
  reference operator*() const { return *at_; }
  Cursor& operator++() {
    *seen_ = ++at_;
    return *this;
  }
  Cursor operator++(int) {
    const Cursor before = *this;
    ++*this;
    return before;
  }
  bool operator==(const Cursor& other) const { return at_ == other.at_; }

 private:
  const char* at_ = nullptr;
  const char** seen_ = nullptr;
};

std::string in_quotes(std::string_view text) {
  return cat('"', shortened(text), '"');
}

std::string number_text(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

/// What a value is, for messages.
template <class Node>
std::string description(const Node& node) {
  struct {
    std::string operator()(std::nullptr_t) const { return "null"; }
    std::string operator()(bool flag) const { return flag ? "true" : "false"; }
    std::string operator()(std::int64_t number) const { return std::to_string(number); }
    std::string operator()(double number) const { return number_text(number); }
    std::string operator()(const std::string& text) const { return in_quotes(text); }
    std::string operator()(const typename Node::Array&) const { return "an array"; }
    std::string operator()(const std::unique_ptr<typename Node::Object>&) const { return "an object"; }
  } describe;
  return std::visit(describe, node.value);
}

/// Builds the tree from the parser's events. Pointers to open containers stay good: only the innermost one grows.
template <class Node>
class Builder {
 public:
  using Array = typename Node::Array;
  using Object = typename Node::Object;
  Builder(Node& root, std::string_view text, const std::string& name, const JsonLimits& limits)
      : root_(root), text_(text), name_(name), limits_(limits), seen_(text.data()) {}

  void parse() {
    const Cursor begin(text_.data(), &seen_), end(text_.data() + text_.size(), &seen_);
    nlohmann::json::sax_parse(begin, end, this);
  }

  // What nlohmann::json calls.
  bool null() { return put(nullptr); }
  bool boolean(bool flag) { return put(flag); }
  bool number_integer(std::int64_t number) { return put(number); }
  bool number_unsigned(std::uint64_t number) {
    if (std::in_range<std::int64_t>(number)) return put(static_cast<std::int64_t>(number));
    return put(static_cast<double>(number));
  }
  bool number_float(double number, const std::string&) { return put(number); }
  bool string(std::string& text) { return put(std::move(text)); }
  bool binary(std::vector<std::uint8_t>&) { return false; }  // JSON has none
  bool start_array(std::size_t) { return open(Array()); }
  bool start_object(std::size_t) { return open(std::make_unique<Object>()); }
  bool end_array() {
    open_.pop_back();
    return true;
  }
  bool key(std::string& text) {
    object(*open_.back())->keys.push_back(std::move(text));
    return true;
  }
  bool end_object() {
    Object& members = *object(*open_.back());
    members.sorted.resize(members.keys.size());
    for (std::uint32_t i = 0; i < members.sorted.size(); ++i) members.sorted[i] = i;
    const auto key_of = [&](std::uint32_t i) -> const std::string& { return members.keys[i]; };
    std::ranges::sort(members.sorted, {}, key_of);
    const auto twin = std::ranges::adjacent_find(members.sorted, {}, key_of);
    if (twin != members.sorted.end())
      fail(cat("the key ", in_quotes(members.keys[*twin]), " stands twice in one object"));
    open_.pop_back();
    return true;
  }
  bool parse_error(std::size_t position, const std::string& token, const nlohmann::json::exception& error) {
    seen_ = text_.data() + std::min(position == 0 ? 0 : position - 1, text_.size());
    if (error.id == 406) fail(cat(shortened(token), " is no number that can be held"));
    // "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error while parsing value - invalid
    // literal; last read: '...'": our place and their reason.
    std::string reason = error.what();
    if (const std::size_t at = reason.find(" - "); at != std::string::npos) reason.erase(0, at + 3);
    if (const std::size_t at = reason.find("; last read: '"); at != std::string::npos) reason.erase(at);
    fail(reason);
    return false;
  }

 private:
  static Object* object(Node& node) { return std::get<std::unique_ptr<Object>>(node.value).get(); }

  template <class Value>
  bool put(Value&& value) {
    if (++values_ > limits_.values) fail(cat("more than ", limits_.values, " values"));
    if (open_.empty()) {
      root_.value = std::forward<Value>(value);
      last_ = &root_;
    } else {
      auto* array = std::get_if<Array>(&open_.back()->value);
      Array& siblings = array != nullptr ? *array : object(*open_.back())->values;
      last_ = &siblings.emplace_back();
      last_->value = std::forward<Value>(value);
    }
    return true;
  }

  template <class Value>
  bool open(Value&& value) {
    if (open_.size() == limits_.depth) fail(cat("more than ", limits_.depth, " arrays and objects within each other"));
    put(std::forward<Value>(value));
    open_.push_back(last_);
    return true;
  }

  [[noreturn]] void fail(const std::string& problem) const {
    const std::string_view before = text_.substr(0, static_cast<std::size_t>(seen_ - text_.data()));
    const auto line = 1 + std::ranges::count(before, '\n');
    const std::size_t newline = before.rfind('\n');
    throw Error(cat(name_, ": line ", line, ", column ",
                    newline == std::string_view::npos ? before.size() + 1 : before.size() - newline, ": ", problem));
  }

  Node& root_;
  std::string_view text_;
  const std::string& name_;
  const JsonLimits& limits_;
  const char* seen_;
  std::vector<Node*> open_;
  Node* last_ = nullptr;
  std::size_t values_ = 0;
};

/// Writes the path from `node` down to `target`; false when it is not below.
template <class Node>
bool find_path(const Node& node, const Node* target, std::string& path) {
  if (&node == target) return true;
  const auto* children = node.children();
  if (children == nullptr) return false;
  const std::size_t length = path.size();
  for (std::size_t i = 0; i < children->size(); ++i) {
    const auto* members = node.object();
    path += members == nullptr ? cat('[', i, ']') : cat(length == 0 ? "" : ".", shortened(members->keys[i]));
    if (find_path((*children)[i], target, path)) return true;
    path.resize(length);
  }
  return false;
}

}  // namespace

JsonDocument::JsonDocument() : document_(std::make_unique<Json::Document>()) {}
JsonDocument::JsonDocument(JsonDocument&&) noexcept = default;
JsonDocument& JsonDocument::operator=(JsonDocument&&) noexcept = default;
JsonDocument::~JsonDocument() = default;

JsonDocument JsonDocument::parse(std::string_view text, const std::string& name, const JsonLimits& limits) {
  require(text.size() <= limits.bytes, name, ": JSON of ", text.size(), " bytes is longer than ", limits.bytes);
  JsonDocument result;
  result.document_->name = name;
  Builder(result.document_->root, text, name, limits).parse();
  return result;
}

Json JsonDocument::root() const& {
  return {document_.get(), &document_->root};
}
const std::string& JsonDocument::name() const {
  return document_->name;
}

bool Json::is_null() const {
  return std::holds_alternative<std::nullptr_t>(node_->value);
}
bool Json::is_boolean() const {
  return std::holds_alternative<bool>(node_->value);
}
bool Json::is_number() const {
  return std::holds_alternative<std::int64_t>(node_->value) || std::holds_alternative<double>(node_->value);
}
bool Json::is_string() const {
  return std::holds_alternative<std::string>(node_->value);
}
bool Json::is_array() const {
  return node_->array() != nullptr;
}
bool Json::is_object() const {
  return node_->object() != nullptr;
}

bool Json::boolean() const {
  if (const bool* flag = std::get_if<bool>(&node_->value)) return *flag;
  fail("not true or false");
}

std::int64_t Json::integer() const {
  if (const auto* whole = std::get_if<std::int64_t>(&node_->value)) return *whole;
  if (const auto* number = std::get_if<double>(&node_->value)) {
    if (std::abs(*number) <= 0x1p53 && std::trunc(*number) == *number) return static_cast<std::int64_t>(*number);
    if (std::abs(*number) > 0x1p53) fail("which is too large");
  }
  fail("not a whole number");
}

double Json::number() const {
  if (const auto* number = std::get_if<double>(&node_->value)) return *number;
  if (const auto* whole = std::get_if<std::int64_t>(&node_->value)) return static_cast<double>(*whole);
  fail("not a number");
}

const std::string& Json::string() const {
  if (const auto* text = std::get_if<std::string>(&node_->value)) return *text;
  fail("not a text");
}

std::size_t Json::size() const {
  if (const auto* children = node_->children()) return children->size();
  fail("not an array or object");
}

Json Json::operator[](std::size_t index) const {
  const auto* children = node_->children();
  if (children == nullptr) fail("not an array or object");
  if (index >= children->size()) fail(cat("of ", children->size(), " values, without number ", index));
  return {document_, &(*children)[index]};
}

const std::string& Json::key(std::size_t index) const {
  const auto* members = node_->object();
  if (members == nullptr) fail("not an object");
  if (index >= members->keys.size()) fail(cat("of ", members->keys.size(), " members, without number ", index));
  return members->keys[index];
}

std::optional<Json> Json::find(std::string_view key) const {
  const auto* members = node_->object();
  if (members == nullptr) fail("not an object");
  const auto key_of = [&](std::uint32_t i) -> std::string_view { return members->keys[i]; };
  const auto found = std::ranges::lower_bound(members->sorted, key, {}, key_of);
  if (found == members->sorted.end() || members->keys[*found] != key) return std::nullopt;
  return Json(document_, &members->values[*found]);
}

std::optional<Json> Json::get(std::string_view key) const {
  const auto member = find(key);
  return member && !member->is_null() ? member : std::nullopt;
}

Json Json::at(std::string_view key) const {
  if (const auto member = find(key)) return *member;
  throw Error(cat(document_->name, ": ", path(), " has no ", in_quotes(key)));
}

std::string Json::path() const {
  std::string path;
  find_path(document_->root, node_, path);
  return path.empty() ? "the document" : path;
}

std::string Json::place() const {
  return cat(document_->name, ": ", path());
}

void Json::fail(const std::string& problem) const {
  throw Error(cat(place(), " is ", description(*node_), ", ", problem));
}

std::string json_string(std::string_view text) {
  try {
    return nlohmann::json(std::string(text)).dump();
  } catch (const nlohmann::json::exception&) {
    throw Error(cat("text that is no UTF-8: ", text));
  }
}

}  // namespace pipeformer
