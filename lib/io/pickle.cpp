#include "io/pickle.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "core/error.hpp"
#include "core/shortened.hpp"

namespace pipeformer {
namespace {

// A tensor takes about 40 steps, so this is 400,000 of them; a step takes at most some 100 bytes of memory.
constexpr std::uint64_t kMostSteps = 16'000'000;

struct Global {
  std::string_view module, name;
  Pickle::Value value;
};

const Global globals[] = {
    {"collections", "OrderedDict", Pickle::Function::ordered_dict},
    {"torch._utils", "_rebuild_tensor_v2", Pickle::Function::rebuild_tensor},
    {"torch._utils", "_rebuild_parameter", Pickle::Function::rebuild_parameter},
    {"torch", "HalfStorage", Pickle::StorageType{"F16"}},
    {"torch", "BFloat16Storage", Pickle::StorageType{"BF16"}},
    {"torch", "FloatStorage", Pickle::StorageType{"F32"}},
    {"torch", "DoubleStorage", Pickle::StorageType{"F64"}},
    {"torch", "CharStorage", Pickle::StorageType{"I8"}},
    {"torch", "ShortStorage", Pickle::StorageType{"I16"}},
    {"torch", "IntStorage", Pickle::StorageType{"I32"}},
    {"torch", "LongStorage", Pickle::StorageType{"I64"}},
    {"torch", "ByteStorage", Pickle::StorageType{"U8"}},
    {"torch", "BoolStorage", Pickle::StorageType{"BOOL"}},
};

std::string hexadecimal(unsigned byte) {
  char text[8];
  std::snprintf(text, sizeof text, "0x%02x", byte);
  return text;
}

}  // namespace

template <class... Parts>
void Pickle::check(bool good, const Parts&... parts) const {
  if (!good) throw Error(cat("the pickle, byte ", at_, ": ", parts...));
}

template <class T>
T Pickle::as(const Value& value, const char* what) const {
  const T* held = std::get_if<T>(&value);
  check(held != nullptr, "expected ", what);
  return *held;
}

// The bytes

std::string_view Pickle::take(std::uint64_t size) {
  check(size <= bytes_.size() - at_, "truncated: ", bytes_.size() - at_, " of ", size, " bytes");
  at_ += size;
  return bytes_.substr(at_ - size, size);
}

std::string_view Pickle::take_line() {
  const std::size_t end = bytes_.find('\n', at_);
  check(end != std::string_view::npos, "truncated: a line without end");
  const std::string_view line = take(end - at_);
  ++at_;
  return line;
}

std::uint64_t Pickle::take_number(int bytes) {
  std::uint64_t number = 0;
  std::memcpy(&number, take(static_cast<std::uint64_t>(bytes)).data(), static_cast<std::size_t>(bytes));
  return number;
}

/// Two's complement.
std::int64_t Pickle::take_long(std::uint64_t size) {
  check(size <= 8, "an integer of ", size, " bytes");
  const std::string_view digits = take(size);
  std::int64_t number = !digits.empty() && (digits.back() & 0x80) != 0 ? -1 : 0;
  std::memcpy(&number, digits.data(), digits.size());
  return number;
}

// The stack

Pickle::Value Pickle::pop() {
  check(stack_.size() > (marks_.empty() ? 0 : marks_.back()), "nothing is on the stack");
  const Value top = stack_.back();
  stack_.pop_back();
  return top;
}

std::vector<Pickle::Value> Pickle::pop_to_mark() {
  check(!marks_.empty(), "no mark is on the stack");
  const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<Value> items(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return items;
}

void Pickle::push_container(Container::Kind kind, std::vector<Value> items) {
  push(&containers_.emplace_back(Container{kind, std::move(items)}));
}

void Pickle::push_tuple(std::size_t size) {
  std::vector<Value> items(size);
  for (std::size_t i = size; i-- > 0;) items[i] = pop();
  push_container(Container::Kind::tuple, std::move(items));
}

void Pickle::memoize(std::uint64_t index) {
  const Value top = pop();
  memo_[index] = top;
  push(top);
}

void Pickle::recall(std::uint64_t index) {
  const auto found = memo_.find(index);
  check(found != memo_.end(), "nothing was remembered as number ", index);
  push(found->second);
}

const std::vector<Pickle::Value>& Pickle::items_of(const Value& value, Container::Kind kind) const {
  constexpr const char* names[] = {"a tuple", "a list", "a dictionary"};
  const char* name = names[static_cast<std::size_t>(kind)];
  const Container* container = as<Container*>(value, name);
  check(container->kind == kind, "expected ", name);
  return container->items;
}

/// Adds items to the container on top of the stack.
void Pickle::extend(Container::Kind kind, const std::vector<Value>& items) {
  const Value target = pop();
  items_of(target, kind);
  check(kind != Container::Kind::dict || items.size() % 2 == 0, "a key without a value");
  auto& all = std::get<Container*>(target)->items;
  all.insert(all.end(), items.begin(), items.end());
  push(target);
}

// What a state dict is made of

void Pickle::push_global(std::string_view module, std::string_view name) {
  for (const Global& global : globals) {
    if (module == global.module && name == global.name) return push(global.value);
  }
  check(false, "refused: '", shortened(cat(module, '.', name)),
        "' is nothing that a state dict of tensors needs (nothing was executed)");
}

/// ("storage", type, key, location, elements), and in old files a view of a part, which nobody writes any more.
void Pickle::push_storage() {
  const Value id = pop();
  const auto& parts = items_of(id, Container::Kind::tuple);
  check(parts.size() == 5 || (parts.size() == 6 && std::holds_alternative<std::monostate>(parts[5])),
        "expected the five parts of a storage");
  check(as<std::string_view>(parts[0], "a text") == "storage", "expected a storage");
  const auto elements = as<std::int64_t>(parts[4], "a number of elements");
  check(elements >= 0, "a storage of ", elements, " elements");
  push(&storages_.emplace_back(Storage{as<StorageType>(parts[1], "a type of storage"),
                                       as<std::string_view>(parts[2], "a key"), static_cast<std::uint64_t>(elements)}));
}

Shape Pickle::sizes_of(const Value& value) const {
  Shape sizes;
  for (const Value& item : items_of(value, Container::Kind::tuple)) {
    sizes.push_back(as<std::int64_t>(item, "an integer"));
    check(sizes.back() >= 0, "a negative size or stride");
  }
  return sizes;
}

/// torch._utils._rebuild_tensor_v2(storage, storage_offset, size, stride, requires_grad, backward_hooks, metadata=None)
Pickle::Value Pickle::rebuild_tensor(const std::vector<Value>& arguments) {
  check(arguments.size() == 6 || (arguments.size() == 7 && std::holds_alternative<std::monostate>(arguments[6])),
        "expected the six arguments of a tensor");
  const auto offset = as<std::int64_t>(arguments[1], "an offset");
  check(offset >= 0, "a negative offset");
  Tensor tensor{as<const Storage*>(arguments[0], "a storage"), static_cast<std::uint64_t>(offset),
                sizes_of(arguments[2]), sizes_of(arguments[3])};
  check(tensor.shape.size() == tensor.strides.size(), tensor.strides.size(), " strides for ", tensor.shape.size(),
        " axes");
  as<bool>(arguments[4], "true or false");
  check(items_of(arguments[5], Container::Kind::dict).empty(), "a tensor with hooks");
  return &tensors_.emplace_back(std::move(tensor));
}

void Pickle::reduce() {
  const Value packed = pop();
  const auto& arguments = items_of(packed, Container::Kind::tuple);
  switch (as<Function>(pop(), "a function")) {
    case Function::ordered_dict:
      check(arguments.empty(), "an OrderedDict with arguments");
      return push_container(Container::Kind::dict);
    case Function::rebuild_tensor:
      return push(rebuild_tensor(arguments));
    case Function::rebuild_parameter:  // (data, requires_grad, backward_hooks)
      check(arguments.size() == 3, "expected the three arguments of a parameter");
      return push(as<const Tensor*>(arguments[0], "a tensor"));
  }
}

bool Pickle::step() {
  const auto opcode = static_cast<unsigned char>(take(1)[0]);
  switch (opcode) {
    case 0x80:  // PROTO
      check(take_number(1) <= 5, "a protocol that is not known");
      break;
    case 0x95:  // FRAME: the opcodes go on as without it
      take_number(8);
      break;
    case '(':  // MARK
      marks_.push_back(stack_.size());
      break;
    case '.':  // STOP
      result_ = pop();
      check(stack_.empty() && marks_.empty(), "more than one value is on the stack at the end");
      return false;
    case 'N':  // NONE
      push(std::monostate());
      break;
    case 0x88:  // NEWTRUE
    case 0x89:  // NEWFALSE
      push(opcode == 0x88);
      break;
    case 'K':  // BININT1
      push(static_cast<std::int64_t>(take_number(1)));
      break;
    case 'M':  // BININT2
      push(static_cast<std::int64_t>(take_number(2)));
      break;
    case 'J':  // BININT
      push(std::int64_t{static_cast<std::int32_t>(take_number(4))});
      break;
    case 0x8a:  // LONG1
      push(take_long(take_number(1)));
      break;
    case 'G': {  // BINFLOAT: big-endian
      std::uint64_t bits = __builtin_bswap64(take_number(8));
      double number;
      std::memcpy(&number, &bits, sizeof number);
      push(number);
      break;
    }
    case 0x8c:  // SHORT_BINUNICODE
      push(take(take_number(1)));
      break;
    case 'X':  // BINUNICODE
      push(take(take_number(4)));
      break;
    case 0x8d:  // BINUNICODE8
      push(take(take_number(8)));
      break;
    case ')':  // EMPTY_TUPLE
      push_container(Container::Kind::tuple);
      break;
    case ']':  // EMPTY_LIST
      push_container(Container::Kind::list);
      break;
    case '}':  // EMPTY_DICT
      push_container(Container::Kind::dict);
      break;
    case 't':  // TUPLE
      push_container(Container::Kind::tuple, pop_to_mark());
      break;
    case 0x85:  // TUPLE1
    case 0x86:  // TUPLE2
    case 0x87:  // TUPLE3
      push_tuple(opcode - 0x84u);
      break;
    case 'a': {  // APPEND
      const Value item = pop();
      extend(Container::Kind::list, {item});
      break;
    }
    case 'e':  // APPENDS
      extend(Container::Kind::list, pop_to_mark());
      break;
    case 's': {  // SETITEM
      const Value value = pop(), key = pop();
      extend(Container::Kind::dict, {key, value});
      break;
    }
    case 'u':  // SETITEMS
      extend(Container::Kind::dict, pop_to_mark());
      break;
    case 'b': {  // BUILD: the attributes of an OrderedDict (_metadata: versions of modules), which are no tensors
      const Value state = pop(), target = pop();
      items_of(state, Container::Kind::dict);
      items_of(target, Container::Kind::dict);
      push(target);
      break;
    }
    case 'q':  // BINPUT
      memoize(take_number(1));
      break;
    case 'r':  // LONG_BINPUT
      memoize(take_number(4));
      break;
    case 0x94:  // MEMOIZE
      memoize(memo_.size());
      break;
    case 'h':  // BINGET
      recall(take_number(1));
      break;
    case 'j':  // LONG_BINGET
      recall(take_number(4));
      break;
    case 'c': {  // GLOBAL
      const std::string_view module = take_line(), name = take_line();
      push_global(module, name);
      break;
    }
    case 0x93: {  // STACK_GLOBAL
      const auto name = as<std::string_view>(pop(), "a name"), module = as<std::string_view>(pop(), "a module");
      push_global(module, name);
      break;
    }
    case 'Q':  // BINPERSID
      push_storage();
      break;
    case 'R':  // REDUCE
      reduce();
      break;
    default:
      --at_;
      check(false, "refused: opcode ", hexadecimal(opcode),
            " is none that a state dict of tensors needs (nothing was executed)");
  }
  return true;
}

Pickle::Pickle(std::span<const std::byte> bytes) : bytes_(reinterpret_cast<const char*>(bytes.data()), bytes.size()) {
  std::uint64_t steps = 0;
  while (step()) check(++steps <= kMostSteps, "more than ", kMostSteps, " steps");
}

}  // namespace pipeformer
