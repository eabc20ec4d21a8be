#include "io/relay.hpp"

#include <variant>

#include "io/address.hpp"
#include "io/byte_source.hpp"
#include "io/output_file.hpp"
#include "io/packing.hpp"
#include "io/stream.hpp"

namespace pipeformer {
namespace {

using Output = std::variant<RecordWriter*, OutputFile*, RelayedCount*>;

struct RelayState {
  Relay relay = Relay::none;
  std::vector<Output> outputs;
  Packer written;
};

RelayState& state() {
  static RelayState only;
  return only;
}

int numbered(Output output) {
  if (state().relay == Relay::none) return -1;
  state().outputs.push_back(output);
  return static_cast<int>(state().outputs.size()) - 1;
}

/// Keeps records, as they are: their type is changed where they come out.
class RelayWriter : public RecordWriter {
 public:
  explicit RelayWriter(std::string name)
      : RecordWriter(std::move(name), std::nullopt), number_(relaying::number(this)) {}
  void close() override {}

 private:
  void put(DType dtype, const Shape& shape, const std::byte* elements) override {
    Packer& to = state().written;
    to.put(number_);
    to.put(dtype);
    to.put_all(std::span<const std::int64_t>(shape));
    to.put_all(std::span(elements, static_cast<std::size_t>(element_count(shape)) * dtype_size(dtype)));
  }
  int number_;
};

/// A file that another process reads, mostly: opened when this one does.
class LateReader : public RecordReader {
 public:
  explicit LateReader(std::string address) : RecordReader(input_name(address)), address_(std::move(address)) {}
  bool next(Array& record) override { return counted(reader().next(record)); }
  bool locate(RecordLocation& place) override { return counted(reader().locate(place)); }
  bool bfloat16() const override { return reader_ && reader_->bfloat16(); }

 private:
  RecordReader& reader() {
    if (!reader_) reader_ = RecordReader::open(address_, std::make_unique<ByteSource>(split_address(address_).file));
    return *reader_;
  }
  bool counted(bool found) {
    count_ += found;
    return found;
  }
  bool read(Array&) override { return false; }
  bool skip(RecordLocation&) override { return false; }
  std::string address_;
  std::unique_ptr<RecordReader> reader_;
};

}  // namespace

void set_relay(Relay relay) {
  state().relay = relay;
}
Relay relay() {
  return state().relay;
}

namespace relaying {
int number(RecordWriter* writer) {
  return numbered(writer);
}
int number(OutputFile* file) {
  return numbered(file);
}
std::unique_ptr<RecordWriter> writer(const std::string& name) {
  return std::make_unique<RelayWriter>(name);
}
void text(int number, std::string_view text) {
  state().written.put(number);
  state().written.put_text(text);
}
std::unique_ptr<RecordReader> reader(const std::string& address) {
  return std::make_unique<LateReader>(address);
}
}  // namespace relaying

RelayedCount::RelayedCount() : number_(numbered(this)) {}

void RelayedCount::add(std::int64_t n) {
  value_ += n;
  if (relay() != Relay::away) return;
  state().written.put(number_);
  state().written.put(n);
}

std::vector<std::byte> take_relayed() {
  const auto bytes = state().written.bytes();
  std::vector<std::byte> taken(bytes.begin(), bytes.end());
  state().written.clear();
  return taken;
}

void write_relayed(std::span<const std::byte> bytes) {
  for (Unpacker from(bytes); !from.empty();) {
    const Output& output = state().outputs.at(static_cast<std::size_t>(from.get<int>()));
    if (auto* const* count = std::get_if<RelayedCount*>(&output)) {
      (*count)->value_ += from.get<std::int64_t>();
    } else if (auto* const* file = std::get_if<OutputFile*>(&output)) {
      (*file)->write(from.get_text());
    } else {
      const auto dtype = from.get<DType>();
      Shape shape;
      from.get_all(shape);
      std::get<RecordWriter*>(output)->write(dtype, shape, from.take(from.get<std::size_t>()).data());
    }
  }
  for (const Output& output : state().outputs)
    if (auto* const* writer = std::get_if<RecordWriter*>(&output)) (*writer)->flush();
}

}  // namespace pipeformer
