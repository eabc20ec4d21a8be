#include "text/hf/post_processors.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace pipeformer::hf {
namespace {

using Item = Template::Item;
using Kind = Template::Item::Kind;

std::int32_t id_from(const Json& value) {
  if (value.integer() < 0 || value.integer() > INT32_MAX) value.fail("not an id");
  return static_cast<std::int32_t>(value.integer());
}

/// ["[SEP]", 102]
Item control_of(JsonObject& object, const std::string& key, std::int32_t type) {
  const Json value = object.need(key);
  if (!value.is_array() || value.size() != 2) value.fail("not a piece and its id");
  value[0].string();
  return {Kind::control, type, {id_from(value[1])}};
}

/// [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, ...]
std::vector<Item> read_items(const Json& list, const Json& controls, bool pair) {
  if (!list.is_array()) list.fail("not a list");
  std::vector<Item> items;
  int firsts = 0, seconds = 0;
  for (std::size_t i = 0; i < list.size(); ++i) {
    JsonObject outer(list[i]);
    const bool control = outer.find("SpecialToken").has_value();
    JsonObject object(outer.need(control ? "SpecialToken" : "Sequence"));
    outer.finish();
    const std::string id = object.text("id");
    const std::int32_t type = object.find("type_id") ? id_from(object.need("type_id")) : 0;
    object.finish();
    if (control) {
      JsonObject named(controls.at(id));
      Item item{Kind::control, type};
      const Json ids = named.array("ids");
      for (std::size_t k = 0; k < ids.size(); ++k) item.ids.push_back(id_from(ids[k]));
      named.ignore("id");
      named.ignore("tokens");
      named.finish();
      items.push_back(std::move(item));
    } else {
      if (id != "A" && id != "B") list[i].fail(cat("whose sequence '", id, "' is neither A nor B"));
      ++(id == "A" ? firsts : seconds);
      items.push_back({id == "A" ? Kind::first : Kind::second, type});
    }
  }
  if (firsts != 1 || seconds != (pair ? 1 : 0))
    list.fail(pair ? "where A and B must occur once each" : "where A must occur once, and B not at all");
  return items;
}

void replace(const Json& section, Template& made, Template by) {
  if (made.adds_ids()) section.fail("a second post-processor that adds ids");
  made = std::move(by);
}

void read_into(const Json& section, Template& made) {
  JsonObject object(section);
  const std::string type = object.text("type");
  object.ignore("trim_offsets");  // Of positions in the text.
  if (type == "TemplateProcessing") {
    const auto named = object.find("special_tokens");
    const Json controls = named ? *named : section;
    replace(section, made,
            {read_items(object.need("single"), controls, false), read_items(object.need("pair"), controls, true)});
  } else if (type == "BertProcessing") {
    const Item cls = control_of(object, "cls", 0), sep = control_of(object, "sep", 0),
               last = control_of(object, "sep", 1);
    replace(section, made, {{cls, {Kind::first, 0}, sep}, {cls, {Kind::first, 0}, sep, {Kind::second, 1}, last}});
  } else if (type == "RobertaProcessing") {
    object.ignore("add_prefix_space");
    const Item cls = control_of(object, "cls", 0), sep = control_of(object, "sep", 0);
    replace(section, made, {{cls, {Kind::first, 0}, sep}, {cls, {Kind::first, 0}, sep, sep, {Kind::second, 0}, sep}});
  } else if (type == "ByteLevel") {
    object.ignore("add_prefix_space");
    object.ignore("use_regex");
  } else if (type == "Sequence") {
    const Json list = object.array("processors");
    for (std::size_t i = 0; i < list.size(); ++i) read_into(list[i], made);
  } else {
    object.not_understood("type");
  }
  object.finish();
}

}  // namespace

TokenRecord Template::apply(const std::vector<std::int32_t>& first, const std::vector<std::int32_t>* second,
                            bool control_ids) const {
  TokenRecord record;
  for (const Item& item : second ? pair : single) {
    if (item.kind == Kind::control && !control_ids) continue;
    const std::vector<std::int32_t>& ids = item.kind == Kind::control ? item.ids
                                           : item.kind == Kind::first ? first
                                                                      : *second;
    record.ids.insert(record.ids.end(), ids.begin(), ids.end());
    record.types.resize(record.ids.size(), item.type);
  }
  return record;
}

bool Template::adds_ids() const {
  const auto control = [](const Item& item) { return item.kind == Kind::control; };
  return std::any_of(single.begin(), single.end(), control) || std::any_of(pair.begin(), pair.end(), control);
}

Template read_post_processor(const Json& section) {
  Template made;
  read_into(section, made);
  return made;
}

}  // namespace pipeformer::hf
