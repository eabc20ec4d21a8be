/// Python's pickles, as far as a state dict of PyTorch needs them: dictionaries, tuples, lists, texts, numbers, and
/// tensors over storages that lie elsewhere. A pickle is a program that may call any function; this machine knows three
/// of them by name (an OrderedDict, a tensor, a parameter) and none of them runs anything. Every other opcode and every
/// other name is refused. Source: CPython's Lib/pickletools.py, which describes each opcode.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "core/array.hpp"

namespace pipeformer {

class Pickle {
 public:
  enum class Function : std::uint8_t { ordered_dict, rebuild_tensor, rebuild_parameter };
  struct StorageType {
    const char* type;  ///< By safetensors' name: "F32".
    bool operator==(const StorageType&) const = default;
  };
  struct Container;
  struct Storage {
    StorageType type;
    std::string_view key;  ///< Under which its bytes lie elsewhere.
    std::uint64_t elements = 0;
  };
  struct Tensor;
  /// Texts point into the pickle, objects into the machine.
  using Value = std::variant<std::monostate, bool, std::int64_t, double, std::string_view, Function, StorageType,
                             const Storage*, const Tensor*, Container*>;
  struct Container {
    enum class Kind : std::uint8_t { tuple, list, dict } kind;
    std::vector<Value> items;  ///< Of a dict: key, value, key, value.
  };
  struct Tensor {
    const Storage* storage;
    std::uint64_t offset = 0;  ///< In elements of the storage.
    Shape shape, strides;      ///< As many strides as axes, in elements; neither is ever negative.
  };

  /// Runs one pickle at the beginning of `bytes`, which must live longer. Throws Error (without a file's name).
  explicit Pickle(std::span<const std::byte> bytes);
  Pickle(const Pickle&) = delete;
  Pickle& operator=(const Pickle&) = delete;

  const Value& result() const { return result_; }
  const std::deque<Storage>& storages() const { return storages_; }
  std::size_t size() const { return at_; }  ///< How many bytes the pickle took.

 private:
  bool step();
  void memoize(std::uint64_t index);
  void recall(std::uint64_t index);
  void push(Value value) { stack_.push_back(value); }
  Value pop();
  void push_container(Container::Kind kind, std::vector<Value> items = {});
  std::vector<Value> pop_to_mark();
  void push_tuple(std::size_t size);
  void push_global(std::string_view module, std::string_view name);
  void push_storage();
  void reduce();
  Value rebuild_tensor(const std::vector<Value>& arguments);
  void extend(Container::Kind kind, const std::vector<Value>& items);

  std::string_view take(std::uint64_t size);
  std::string_view take_line();
  std::uint64_t take_number(int bytes);
  std::int64_t take_long(std::uint64_t size);
  template <class... Parts>
  void check(bool good, const Parts&... parts) const;
  template <class T>
  T as(const Value& value, const char* what) const;
  const std::vector<Value>& items_of(const Value& value, Container::Kind kind) const;
  Shape sizes_of(const Value& value) const;

  std::string_view bytes_;
  std::size_t at_ = 0;
  std::vector<Value> stack_;
  std::vector<std::size_t> marks_;  ///< Heights of the stack.
  std::unordered_map<std::uint64_t, Value> memo_;
  // Objects live as long as the machine: a pickle may make cycles of them.
  std::deque<Container> containers_;
  std::deque<Storage> storages_;
  std::deque<Tensor> tensors_;
  Value result_;
};

}  // namespace pipeformer
