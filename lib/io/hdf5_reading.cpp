#include "io/hdf5_reading.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "core/error.hpp"
#include "core/suggestion.hpp"
#include "io/hdf5_chunks.hpp"

namespace pipeformer {
namespace {

constexpr int most_links = 16;  // soft links on the way to one object: they may form a ring
constexpr const char* foreign_link = "is a link to another file or of an unknown kind, which is not followed";

std::string join_path(const std::string& group, const std::string& name) {
  const std::string clean = clean_path(group);
  return clean.empty() ? name : clean + "/" + name;
}

/// The parts of a path, the last one first.
std::vector<std::string> parts_of(const std::string& path) {
  std::vector<std::string> parts;
  for (std::size_t end = path.size();;) {
    const std::size_t slash = end == 0 ? std::string::npos : path.rfind('/', end - 1);
    const std::size_t begin = slash == std::string::npos ? 0 : slash + 1;
    if (std::string part = path.substr(begin, end - begin); !part.empty() && part != ".")
      parts.push_back(std::move(part));
    if (slash == std::string::npos) return parts;
    end = slash;
  }
}

}  // namespace

std::string clean_path(const std::string& path) {
  const std::size_t begin = path.find_first_not_of('/');
  if (begin == std::string::npos) return "";
  return path.substr(begin, path.find_last_not_of('/') + 1 - begin);
}

std::string absolute(const std::string& path) {
  return "/" + clean_path(path);
}

Hdf5Reading::Hdf5Reading(std::string name, const std::string& path)
    : name_(std::move(name)), map_(std::in_place, path), bytes_(map_->bytes()), objects_(open()) {}

Hdf5Reading::Hdf5Reading(std::string name, std::span<const std::byte> bytes)
    : name_(std::move(name)), image_(bytes.begin(), bytes.end()), bytes_(image_), objects_(open()) {}

hdf5::Objects Hdf5Reading::open() const {
  try {
    return hdf5::Objects(bytes_);
  } catch (const Error& error) {
    throw Error(cat(name_, ": cannot open as HDF5: ", error.what()));
  }
}

std::optional<std::uint64_t> Hdf5Reading::find(const std::string& path) const {
  std::vector<std::string> rest = parts_of(path);  // the last part first
  std::uint64_t at = objects_.root();
  int followed = 0;
  std::string walked;
  while (!rest.empty()) {
    const std::string part = std::move(rest.back());
    rest.pop_back();
    const auto group = links(at, walked);
    const auto found = group->find(part);
    if (found == group->end()) return std::nullopt;
    const hdf5::Link& link = found->second;
    walked += (walked.empty() ? "" : "/") + part;
    if (link.kind == hdf5::Link::Kind::hard) {
      at = link.address;
    } else if (link.kind == hdf5::Link::Kind::soft) {
      if (++followed > most_links) return std::nullopt;
      if (link.target.starts_with('/')) at = objects_.root();
      for (std::string& name : parts_of(link.target)) rest.push_back(std::move(name));
    } else {
      throw Error(cat(name_, ": '", walked, "' ", foreign_link));
    }
  }
  return at;
}

std::uint64_t Hdf5Reading::object(const std::string& path) const {
  const auto found = find(path);
  require(found.has_value(), name_, ": no object '", path, "'");
  return *found;
}

bool Hdf5Reading::is(const std::string& path, hdf5::ObjectKind kind) const {
  const auto found = find(path);
  return found && kind_of(*found, path) == kind;
}

std::vector<Hdf5Entry> Hdf5Reading::entries(const std::string& path) const {
  require(is(path, hdf5::ObjectKind::group), name_, ": no group '", absolute(path), "'");
  std::vector<Hdf5Entry> result;
  const auto group = links(object(path), path);
  for (const auto& [name, link] : *group) {
    Hdf5Entry entry{name, Hdf5Entry::Kind::other, ""};
    try {
      if (link.kind == hdf5::Link::Kind::external || link.kind == hdf5::Link::Kind::other)
        throw Error(cat(name_, ": '", join_path(path, name), "' ", foreign_link));
      const auto found =
          link.kind == hdf5::Link::Kind::hard ? std::optional(link.address) : find(join_path(path, name));
      require(found.has_value(), name_, ": '", join_path(path, name), "' is a link to nothing");
      switch (kind_of(*found, join_path(path, name))) {
        case hdf5::ObjectKind::group:
          entry.kind = Hdf5Entry::Kind::group;
          break;
        case hdf5::ObjectKind::dataset:
          entry.kind = Hdf5Entry::Kind::dataset;
          break;
        case hdf5::ObjectKind::other:
          entry.remark = cat(name_, ": '", join_path(path, name), "' is neither a group nor a dataset");
      }
    } catch (const Error& error) {
      entry.remark = error.what();
    }
    result.push_back(std::move(entry));
  }
  return result;
}

std::string Hdf5Reading::nearest(const std::string& path) const {
  std::vector<std::string> rest = parts_of(path);
  std::uint64_t at = objects_.root();
  for (std::string walked; !rest.empty();) {
    const std::string part = std::move(rest.back());
    rest.pop_back();
    const auto group = links(at, walked);
    const auto found = group->find(part);
    if (found == group->end()) {
      std::vector<std::string> names;
      for (const auto& link : *group) names.push_back(link.first);
      std::string near = nearest_name(part, names);
      if (near.empty()) return "";
      near = join_path(walked, near);
      std::string whole = near;
      for (auto each = rest.rbegin(); each != rest.rend(); ++each) whole += "/" + *each;
      return cat(" (did you mean '", find(whole) ? whole : near, "'?)");
    }
    walked = join_path(walked, part);
    at = found->second.address;
    if (found->second.kind != hdf5::Link::Kind::hard) break;
  }
  return "";
}

std::shared_ptr<const std::vector<AttributeValues>> Hdf5Reading::attributes(const std::string& path) const {
  const std::uint64_t at = object(path);
  const std::lock_guard lock(mutex_);
  auto& kept = attributes_[at];
  if (!kept) kept = std::make_shared<const std::vector<AttributeValues>>(decoded_attributes(at, path));
  return kept;
}

std::vector<AttributeValues> Hdf5Reading::decoded_attributes(std::uint64_t header, const std::string& path) const {
  std::vector<AttributeValues> result;
  try {
    for (const hdf5::AttributeMessage& message : objects_.attributes(header)) result.push_back(values_of(message));
  } catch (const Error& error) {
    throw Error(cat(name_, ": the attributes of '", absolute(path), "' cannot be read: ", error.what()));
  }
  std::sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return result;
}

void Hdf5Reading::check_room(const std::string& path) const {
  std::vector<std::string> rest = parts_of(path);
  std::uint64_t at = objects_.root();
  for (std::string walked; rest.size() > 1; rest.pop_back()) {
    const auto group = links(at, walked);
    const auto found = group->find(rest.back());
    if (found == group->end()) return;
    const hdf5::Link& link = found->second;
    walked += (walked.empty() ? "" : "/") + rest.back();
    require(link.kind == hdf5::Link::Kind::hard && kind_of(link.address, walked) == hdf5::ObjectKind::group, name_,
            ": cannot add '", clean_path(path), "': '", walked, "' is no group");
    at = link.address;
  }
}

void Hdf5Reading::check_all() const {
  std::vector<std::uint64_t> rest{objects_.root()};
  std::set<std::uint64_t> seen{objects_.root()};
  try {
    while (!rest.empty()) {
      const std::uint64_t at = rest.back();
      rest.pop_back();
      objects_.attributes(at);
      const hdf5::ObjectKind kind = objects_.kind(at);
      if (kind == hdf5::ObjectKind::dataset) {
        hdf5::DatasetMessages messages = objects_.dataset(at);
        if (messages.layout.kind != hdf5::Layout::Kind::elsewhere)
          hdf5::Elements(objects_.extent(), std::move(messages));
      }
      if (kind != hdf5::ObjectKind::group) continue;
      for (const hdf5::Link& link : objects_.links(at))
        if (link.kind == hdf5::Link::Kind::hard && seen.insert(link.address).second) rest.push_back(link.address);
    }
  } catch (const Error& error) {
    throw Error(cat(name_, ": cannot be added to: ", error.what()));
  }
}

hdf5::ObjectKind Hdf5Reading::kind_of(std::uint64_t header, const std::string& path) const {
  try {
    return objects_.kind(header);
  } catch (const Error& error) {
    throw Error(cat(name_, ": '", path, "' cannot be read: ", error.what()));
  }
}

/// Of the group at an address; of any other object there are none.
std::shared_ptr<const Hdf5Reading::Links> Hdf5Reading::links(std::uint64_t header, const std::string& path) const {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<const Links>& kept = links_[header];
  if (!kept) {
    auto found = std::make_shared<Links>();
    try {
      for (hdf5::Link& link : objects_.links(header)) found->emplace(link.name, std::move(link));
    } catch (const Error& error) {
      throw Error(cat(name_, ": the group '", absolute(path), "' cannot be read: ", error.what()));
    }
    kept = std::move(found);
  }
  return kept;
}

AttributeValues Hdf5Reading::values_of(const hdf5::AttributeMessage& message) const {
  AttributeValues result{message.name, message.problem, {}};
  if (!result.problem.empty()) return result;
  const hdf5::Datatype& type = message.type;
  const bool string = type.kind == hdf5::TypeClass::string || type.variable_string;
  if (!string && !type.dtype()) {
    result.problem = cat("it holds ", type.name());
    return result;
  }
  try {
    for (std::size_t at = 0; at < message.elements.size(); at += type.size) {
      const std::byte* element = message.elements.data() + at;
      if (type.variable_string) {
        require(type.size == 8 + objects_.extent().widths.address, "a string's place of impossible size");
        result.values.emplace_back(objects_.variable_string(element));
      } else if (string) {
        result.values.emplace_back(type.fixed_string(element));
      } else if (type.boolean) {
        result.values.emplace_back(type.signed_value(element) != 0);
      } else if (type.kind == hdf5::TypeClass::real) {
        result.values.emplace_back(type.real_value(element));
      } else if (const std::uint64_t value = type.unsigned_value(element);
                 !type.is_signed && !std::in_range<std::int64_t>(value)) {
        result.values.emplace_back(value);
      } else {
        result.values.emplace_back(type.signed_value(element));
      }
    }
  } catch (const Error& error) {
    result.problem = error.what();
  }
  return result;
}

}  // namespace pipeformer
