#include "io/hdf5_objects.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/error.hpp"
#include "io/hdf5_trees.hpp"

namespace pipeformer::hdf5 {
namespace {

// Types of messages in object headers.
constexpr unsigned dataspace_message = 0x01, links_message = 0x02, datatype_message = 0x03, old_fill_message = 0x04,
                   fill_message = 0x05, link_message = 0x06, external_message = 0x07, layout_message = 0x08,
                   filters_message = 0x0b, attribute_message = 0x0c, continuation_message = 0x10,
                   symbol_table_message = 0x11, attributes_message = 0x15;

constexpr std::size_t most_messages = 65536;  // HDF5 counts them with 16 bits
constexpr std::size_t largest_chunk_rank = 33;

std::uint64_t padded(std::uint64_t size) {
  return (size + 7) / 8 * 8;
}

Layout read_chunks(Cursor& in, Layout layout, unsigned version) {
  std::size_t width = 4;
  std::uint64_t flags = 0, rank = 0;  // the size of an element is the last axis
  if (version >= 4) {
    flags = in.number(1);
    rank = in.number(1);
    width = in.number(1);
    require(width >= 1 && width <= 8, "a chunk of impossible axes");
  } else {
    rank = in.number(1);
    layout.address = in.address();
  }
  require(rank >= 2 && rank <= largest_chunk_rank, "a chunk of ", rank, " axes");
  for (std::uint64_t i = 0; i < rank; ++i) layout.chunk.push_back(in.number(width));
  layout.element_size = layout.chunk.back();
  layout.chunk.pop_back();
  require(std::find(layout.chunk.begin(), layout.chunk.end(), 0u) == layout.chunk.end(), "a chunk without elements");
  if (version < 4) return layout;
  layout.whole_edges = (flags & 1) != 0;
  layout.index = static_cast<ChunkIndex>(in.number(1));
  switch (layout.index) {  // what the index needs stands in its own header, too
    case ChunkIndex::single:
      if ((flags & 2) != 0) {
        layout.single_size = in.length();
        layout.single_mask = static_cast<std::uint32_t>(in.number(4));
      }
      break;
    case ChunkIndex::implicit:
      break;
    case ChunkIndex::fixed_array:
      in.skip(1);
      break;
    case ChunkIndex::extensible_array:
      in.skip(5);
      break;
    case ChunkIndex::records:
      in.skip(6);
      break;
    default:
      throw Error("an unknown index of chunks");
  }
  layout.address = in.address();
  return layout;
}

Layout read_layout(Cursor in) {
  Layout layout;
  const unsigned version = in.version(1, 4);
  if (version < 3) {
    const std::uint64_t rank = in.number(1);
    layout.kind = static_cast<Layout::Kind>(in.number(1));
    in.skip(5);
    if (layout.kind != Layout::Kind::compact) layout.address = in.address();
    require(rank <= largest_chunk_rank, "a chunk of ", rank, " axes");
    std::vector<std::uint64_t> axes(rank);
    for (std::uint64_t& axis : axes) axis = in.number(4);
    if (layout.kind == Layout::Kind::compact) layout.compact = in.take(in.number(4));
    if (layout.kind != Layout::Kind::chunked) return layout;
    require(rank >= 2 && std::find(axes.begin(), axes.end(), 0u) == axes.end(), "a chunk without elements");
    layout.element_size = axes.back();
    axes.pop_back();
    layout.chunk = std::move(axes);
    return layout;
  }
  layout.kind = static_cast<Layout::Kind>(in.number(1));
  switch (layout.kind) {
    case Layout::Kind::compact:
      layout.compact = in.take(in.number(2));
      return layout;
    case Layout::Kind::contiguous:
      layout.address = in.address();
      layout.size = in.length();
      return layout;
    case Layout::Kind::chunked:
      return read_chunks(in, std::move(layout), version);
    default:
      layout.kind = Layout::Kind::elsewhere;
      return layout;
  }
}

std::vector<Filter> read_filters(Cursor in) {
  const unsigned version = in.version(1, 2);
  std::vector<Filter> filters(in.number(1));
  if (version == 1) in.skip(6);
  for (Filter& filter : filters) {
    filter.id = in.number(2);
    const bool named = version == 1 || filter.id >= 256;
    const std::uint64_t name = named ? in.number(2) : 0;
    in.skip(2);
    filter.values.resize(in.number(2));
    in.skip(version == 1 ? padded(name) : name);
    for (std::uint32_t& value : filter.values) value = static_cast<std::uint32_t>(in.number(4));
    if (version == 1 && filter.values.size() % 2 == 1) in.skip(4);
  }
  return filters;
}

Bytes read_fill(Cursor in, bool old) {
  if (old) return in.take(in.number(4));
  if (in.version(1, 3) < 3) {
    in.skip(2);
    const bool defined = in.number(1) != 0;
    if (!defined || in.left() < 4) return {};
    const std::uint64_t size = in.number(4);
    return size > in.left() ? Bytes{} : in.take(size);  // "undefined" is a size of -1
  }
  return (in.number(1) & 0x20) != 0 ? in.take(in.number(4)) : Bytes{};
}

/// Links or attributes that are too many for messages, from the message that says where they are: body(heap, record)
/// for each record of the tree of their names. An order of creation takes `order` bytes.
template <class Body>
void walk_dense(const Extent& extent, Cursor in, std::uint64_t order, Body body) {
  in.version(0, 0);
  in.skip((in.number(1) & 1) != 0 ? order : 0);
  const std::uint64_t heap_address = in.address(), names = in.address();
  if (heap_address == undefined || names == undefined) return;
  const FractalHeap heap(extent, heap_address);
  walk_records(extent, names, [&](Bytes record) { body(heap, extent.cursor(record)); });
}

}  // namespace

struct Objects::Message {
  unsigned type = 0;
  bool shared = false;  ///< The content is a reference to the message of another object.
  Bytes content;
};

Objects::Objects(Bytes file) {
  // It may begin after a block of the user's.
  for (base_ = 0;; base_ = base_ == 0 ? 512 : 2 * base_) {
    require(base_ < file.size() && file.size() - base_ >= 8, "file signature not found");
    if (std::memcmp(file.data() + base_, "\x89HDF\r\n\x1a\n", 8) == 0) break;
  }
  extent_.bytes = file.subspan(base_);
  Cursor in = extent_.from(8);
  const unsigned version = in.version(0, 3);
  Widths& widths = extent_.widths;
  const auto width = [&] {
    const auto size = static_cast<unsigned>(in.number(1));
    require(size == 2 || size == 4 || size == 8, "addresses of ", size, " bytes are not read");
    return size;
  };
  if (version < 2) {
    in.skip(4);
    widths.address = width();
    widths.length = width();
    in.skip(1 + 2 + 2 + 4 + (version == 1 ? 4 : 0));
  } else {
    widths.address = width();
    widths.length = width();
    in.skip(1);
  }
  in = Cursor(extent_.from(extent_.bytes.size() - in.left()));
  const std::uint64_t first = in.address();  // where the file began when it was written
  in.address();
  const std::uint64_t end = in.address();
  if (version < 2) {
    in.address();
    in.address();
  } else {
    extent_.checked(0, 12 + 4 * widths.address + 4);
  }
  root_ = in.address();
  require(end >= first && end - first <= extent_.bytes.size(), "truncated file: it has ", extent_.bytes.size(),
          " bytes of ", end - first);
}

std::vector<Objects::Message> Objects::messages(std::uint64_t header) const {
  std::vector<Message> all;
  Budget budget(extent_);
  std::vector<Bytes> blocks;
  Cursor in = extent_.from(header);
  const bool second = in.left() >= 4 && std::memcmp(extent_.at(header, 4).data(), "OHDR", 4) == 0;
  bool ordered = false;
  if (second) {
    in.skip(4);
    in.version(2, 2);
    const auto flags = static_cast<unsigned>(in.number(1));
    ordered = (flags & 4) != 0;
    in.skip(((flags & 0x20) != 0 ? 16 : 0) + ((flags & 0x10) != 0 ? 4 : 0));
    const std::uint64_t size = in.number(std::size_t{1} << (flags & 3));
    blocks.push_back(in.take(size));
    const std::uint64_t before = extent_.bytes.size() - header - in.left();
    extent_.checked(header, before + 4);
  } else {
    in.version(1, 1);
    in.skip(7);
    const std::uint64_t size = in.number(4);
    in.skip(4);
    blocks.push_back(in.take(size));
  }
  budget.take(blocks.front().size());
  const std::size_t prefix = second ? (ordered ? 6 : 4) : 8;
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    Cursor block = extent_.cursor(blocks[b]);
    while (block.left() >= prefix) {
      Message message;
      message.type = static_cast<unsigned>(block.number(second ? 1 : 2));
      const std::uint64_t size = block.number(2);
      message.shared = (block.number(1) & 2) != 0;
      block.skip(prefix - (second ? 4 : 5));
      message.content = block.take(size);
      if (message.type == continuation_message) {
        Cursor to = extent_.cursor(message.content);
        const std::uint64_t address = to.address(), length = to.length();
        budget.take(length);
        if (second) {
          Cursor next = extent_.checked(address, length);
          next.signature("OCHK");
          blocks.push_back(next.take(next.left()));
        } else {
          blocks.push_back(extent_.at(address, length));
        }
      } else if (message.type != 0) {
        require(all.size() < most_messages, "too many messages");
        all.push_back(message);
      }
    }
  }
  return all;
}

/// What a message of this type refers to: a type that has a name in the file.
Bytes Objects::shared(unsigned type, Bytes reference) const {
  Cursor in = extent_.cursor(reference);
  const unsigned version = in.version(1, 3);
  const std::uint64_t kind = in.number(1);
  if (version == 1) in.skip(6);
  require(version < 3 || kind == 2, "a message in the file's shared heap, which is not read");
  for (const Message& message : messages(in.address()))
    if (message.type == type && !message.shared) return message.content;
  throw Error("a shared message is not where it is said to be");
}

Cursor Objects::content(const Message& message) const {
  return extent_.cursor(message.shared ? shared(message.type, message.content) : message.content);
}

ObjectKind Objects::kind(std::uint64_t header) const {
  bool group = false, type = false, space = false;
  for (const Message& message : messages(header)) {
    group = group || message.type == symbol_table_message || message.type == links_message;
    type = type || message.type == datatype_message;
    space = space || message.type == dataspace_message;
  }
  return group ? ObjectKind::group : type && space ? ObjectKind::dataset : ObjectKind::other;
}

Link Objects::link(Bytes message) const {
  Cursor in = extent_.cursor(message);
  in.version(1, 1);
  const std::uint64_t flags = in.number(1), kind = (flags & 8) != 0 ? in.number(1) : 0;
  in.skip(((flags & 4) != 0 ? 8 : 0) + ((flags & 16) != 0 ? 1 : 0));
  const Bytes name = in.take(in.number(std::size_t{1} << (flags & 3)));
  Link link;
  link.name.assign(reinterpret_cast<const char*>(name.data()), name.size());
  switch (kind) {
    case 0:
      link.address = in.address();
      break;
    case 1: {
      link.kind = Link::Kind::soft;
      const Bytes target = in.take(in.number(2));
      link.target.assign(reinterpret_cast<const char*>(target.data()), target.size());
      break;
    }
    case 64:
      link.kind = Link::Kind::external;
      break;
    default:
      link.kind = Link::Kind::other;
      break;
  }
  return link;
}

std::vector<Link> Objects::links(std::uint64_t header) const {
  std::vector<Link> all;
  for (const Message& message : messages(header)) {
    Cursor in = content(message);
    if (message.type == link_message) {
      all.push_back(link(in.take(in.left())));
    } else if (message.type == links_message) {
      walk_dense(extent_, in, 8, [&](const FractalHeap& heap, Cursor entry) {
        entry.skip(4);
        all.push_back(link(heap.object(entry.take(heap.id_size()))));
      });
    } else if (message.type == symbol_table_message) {
      const std::uint64_t tree = in.address();
      const LocalHeap heap(extent_, in.address());
      Budget budget(extent_);
      const auto node = [&](Bytes, std::uint64_t address) {
        Cursor entries = extent_.from(address);
        entries.signature("SNOD");
        entries.version(1, 1);
        entries.skip(1);
        const std::uint64_t count = entries.number(2);
        budget.take(8 + count * (2 * extent_.widths.address + 24));
        for (std::uint64_t i = 0; i < count; ++i) {
          Link found;
          found.name = heap.text(entries.number(extent_.widths.address));
          found.address = entries.address();
          const std::uint64_t cached = entries.number(4);
          entries.skip(4);
          const Bytes scratch = entries.take(16);
          if (cached == 2) {
            found.kind = Link::Kind::soft;
            found.target = heap.text(extent_.cursor(scratch).number(4));
          }
          all.push_back(std::move(found));
        }
      };
      walk_tree(extent_, tree, TreeKind::group, extent_.widths.length, node);
    }
  }
  return all;
}

AttributeMessage Objects::attribute(Bytes message) const {
  AttributeMessage result;
  Cursor in = extent_.cursor(message);
  const unsigned version = in.version(1, 3);
  const std::uint64_t flags = in.number(1), name_size = in.number(2), type_size = in.number(2),
                      space_size = in.number(2);
  if (version == 3) in.skip(1);
  const auto part = [&](std::uint64_t size) { return in.take(version == 1 ? padded(size) : size); };
  const Bytes name = part(name_size);
  result.name.assign(reinterpret_cast<const char*>(name.data()), name.size());
  result.name.resize(std::min(result.name.size(), result.name.find('\0')));
  try {
    Bytes type = part(type_size), space = part(space_size);
    if (version > 1 && (flags & 1) != 0) type = shared(datatype_message, type);
    if (version > 1 && (flags & 2) != 0) space = shared(dataspace_message, space);
    result.type = read_datatype(extent_.cursor(type));
    result.space = read_dataspace(extent_.cursor(space));
    const std::uint64_t count = result.space.count();
    require(count <= in.left() / result.type.size, "it ends too early");
    result.elements = in.take(count * result.type.size);
  } catch (const Error& error) {
    result.problem = error.what();
  }
  return result;
}

std::vector<AttributeMessage> Objects::attributes(std::uint64_t header) const {
  std::vector<AttributeMessage> all;
  for (const Message& message : messages(header)) {
    if (message.type == attribute_message) {
      Cursor in = content(message);
      all.push_back(attribute(in.take(in.left())));
    } else if (message.type == attributes_message) {
      walk_dense(extent_, content(message), 2, [&](const FractalHeap& heap, Cursor entry) {
        const Bytes id = entry.take(heap.id_size());
        const bool elsewhere = (entry.number(1) & 2) != 0;
        require(!elsewhere, "an attribute in the file's shared heap, which is not read");
        all.push_back(attribute(heap.object(id)));
      });
    }
  }
  return all;
}

DatasetMessages Objects::dataset(std::uint64_t header) const {
  DatasetMessages result;
  bool typed = false, spaced = false, laid = false, external = false;
  Bytes old_fill;
  for (const Message& message : messages(header)) {
    switch (message.type) {
      case datatype_message:
        result.type = read_datatype(content(message));
        typed = true;
        break;
      case dataspace_message:
        result.space = read_dataspace(content(message));
        spaced = true;
        break;
      case layout_message:
        result.layout = read_layout(content(message));
        laid = true;
        break;
      case external_message:
        external = true;
        break;
      case filters_message:
        result.filters = read_filters(content(message));
        break;
      case fill_message:
        result.fill = read_fill(content(message), false);
        break;
      case old_fill_message:
        old_fill = read_fill(content(message), true);
        break;
      default:
        break;
    }
  }
  require(typed && spaced && laid, "it lacks a type, a shape or a layout");
  if (external) result.layout.kind = Layout::Kind::elsewhere;
  if (result.fill.empty()) result.fill = old_fill;
  return result;
}

std::string Objects::variable_string(const std::byte* element) const {
  Cursor in = extent_.cursor({element, 8 + extent_.widths.address});
  const std::uint64_t length = in.number(4), address = in.address(), index = in.number(4);
  if (length == 0) return "";
  const Bytes object = global_heap_object(extent_, address, index);
  require(length <= object.size(), "a string of ", length, " bytes in ", object.size());
  const std::string text(reinterpret_cast<const char*>(object.data()), length);
  return text.substr(0, text.find('\0'));
}

}  // namespace pipeformer::hdf5
