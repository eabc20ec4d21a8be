#include "text/hf/sentencepiece_json.hpp"

#include <algorithm>
#include <charconv>
#include <set>
#include <tuple>
#include <unordered_map>

#include "core/error.hpp"
#include "core/json.hpp"
#include "text/hf/base64.hpp"

namespace pipeformer::hf {
namespace {

using Kind = SentencePieceModel::Kind;
using Type = SentencePieceModel::Type;

std::string number_text(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

template <class List, class Write>
std::string joined(const List& list, Write write) {
  std::string text;
  for (const auto& item : list) text += (text.empty() ? "" : ", ") + write(item);
  return text;
}

/// What a bpe model merges: every way to join two pieces to a third, in the order of the third's score.
std::string merges_of(const SentencePieceModel& model, const std::vector<NumberedPiece>& pieces) {
  std::unordered_map<std::string, double> scores;
  for (const auto& piece : model.pieces)
    if (piece.type == Type::normal || piece.type == Type::user_defined || piece.type == Type::unused)
      scores.emplace(piece.text, piece.score);
  struct Merge {
    double score;
    std::string left, right;
  };
  std::vector<Merge> merges;
  for (const NumberedPiece& piece : pieces) {
    const auto whole = scores.find(piece.text);
    if (whole == scores.end()) continue;
    for (std::size_t at = 1; at < piece.text.size(); ++at) {
      std::string left = piece.text.substr(0, at), right = piece.text.substr(at);
      if (scores.contains(left) && scores.contains(right)) merges.push_back({whole->second, left, right});
    }
  }
  std::stable_sort(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) { return a.score > b.score; });
  return joined(merges, [](const Merge& merge) {
    return cat("[", json_string(merge.left), ", ", json_string(merge.right), "]");
  });
}

/// The member kUnusedPieces of a model, before another one; empty when there are none.
std::string unused_member(const std::vector<std::int64_t>& ids) {
  if (ids.empty()) return "";
  return cat(json_string(kUnusedPieces), ": [", joined(ids, [](std::int64_t id) { return std::to_string(id); }), "], ");
}

std::string normalizer_steps(const SentencePieceModel& model) {
  std::string steps;
  const auto add = [&](const std::string& step) { steps += (steps.empty() ? "" : ", ") + step; };
  if (!model.normalization.charsmap.empty())
    add(cat(R"({"type": "Precompiled", "precompiled_charsmap": ")", to_base64(model.normalization.charsmap), "\"}"));
  if (model.normalization.remove_extra_whitespaces) {
    add(R"({"type": "Replace", "pattern": {"Regex": "\\A +| +\\z"}, "content": ""})");
    add(R"({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "})");
  }
  return steps;
}

std::string template_of(const RenumberedModel& renumbered) {
  std::string controls;
  const auto control = [&](const std::vector<std::int32_t>& ids, const std::string& name, int type) {
    if (ids.empty()) return std::string();
    if (controls.find(json_string(name)) == std::string::npos)
      controls += cat(
          controls.empty() ? "" : ", ", json_string(name), R"(: {"id": )", json_string(name), R"(, "ids": [)",
          joined(ids, [](std::int32_t id) { return std::to_string(id); }), R"(], "tokens": [)",
          joined(ids,
                 [&](std::int32_t id) { return json_string(renumbered.pieces[static_cast<std::size_t>(id)].text); }),
          "]}");
    return cat(R"({"SpecialToken": {"id": )", json_string(name), R"(, "type_id": )", type, "}}, ");
  };
  const auto sequence = [](char which) { return cat(R"({"Sequence": {"id": ")", which, R"(", "type_id": 0}}, )"); };
  const auto list = [](std::string items) {
    if (items.ends_with(", ")) items.resize(items.size() - 2);
    return "[" + items + "]";
  };
  const std::string begin = control(renumbered.begin, "begin", 0), end = control(renumbered.end, "end", 0);
  const std::string single = list(begin + sequence('A') + end);
  const std::string pair =
      list(begin + sequence('A') + control(renumbered.between, "between", 0) + sequence('B') + end);
  return cat(R"({"type": "TemplateProcessing", "single": )", single, R"(, "pair": )", pair, R"(, "special_tokens": {)",
             controls, "}}");
}

}  // namespace

RenumberedModel own_numbers(const SentencePieceModel& model) {
  RenumberedModel own;
  own.unknown = model.unknown_id;
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    const auto& piece = model.pieces[id];
    own.pieces.push_back({piece.text, piece.score});
    const auto number = static_cast<std::int32_t>(id);
    if (piece.type == Type::control || piece.type == Type::unknown) own.added.push_back({number, piece.text, true});
    if (piece.type == Type::user_defined) own.added.push_back({number, piece.text, false});
  }
  return own;
}

std::string without_unused_pieces(std::string tokenizer_json) {
  const JsonDocument document = JsonDocument::parse(tokenizer_json, "the tokenizer");
  const auto model = document.root().get("model"), list = model ? model->get(kUnusedPieces) : std::nullopt;
  if (!list) return tokenizer_json;
  std::set<std::int64_t> added;
  if (const auto tokens = document.root().get("added_tokens"))
    for (std::size_t i = 0; i < tokens->size(); ++i) added.insert((*tokens)[i].at("id").integer());
  std::vector<std::int64_t> ids;
  for (std::size_t i = 0; i < list->size(); ++i) {
    ids.push_back((*list)[i].integer());
    require(added.contains(ids.back()), "the pieces of vocab.json that text is never cut into, such as '",
            model->at("vocab")[static_cast<std::size_t>(ids.back())][0].string(),
            "', have no place in a tokenizer.json; the files that were imported still fit");
  }
  const std::string member = unused_member(ids);
  const std::size_t at = tokenizer_json.find(member);
  require(at != std::string::npos, "the tokenizer: its member ", kUnusedPieces, " cannot be taken out");
  return tokenizer_json.erase(at, member.size());
}

std::string sentencepiece_json(const SentencePieceModel& model, const RenumberedModel& renumbered,
                               const std::string& name) {
  require(model.kind == Kind::unigram || model.kind == Kind::bpe, name,
          ": only unigram and bpe models can become a tokenizer.json");
  require(!model.whitespace_is_suffix, name, ": spaces as suffixes have no place in a tokenizer.json");
  require(renumbered.unknown >= 0 && static_cast<std::size_t>(renumbered.unknown) < renumbered.pieces.size(), name,
          ": the model has no unknown piece");
  const bool unigram = model.kind == Kind::unigram, prefix = model.normalization.add_dummy_prefix;
  const std::string& unknown = renumbered.pieces[static_cast<std::size_t>(renumbered.unknown)].text;
  const std::string flag = model.byte_fallback ? "true" : "false";
  std::string steps = normalizer_steps(model), pieces, pre_tokenizer = "null", decoder;
  if (unigram) {
    std::vector<std::int64_t> unused;
    for (std::size_t id = 0; id < renumbered.pieces.size(); ++id)
      if (!renumbered.pieces[id].usable) unused.push_back(static_cast<std::int64_t>(id));
    pieces = cat(R"({"type": "Unigram", "unk_id": )", renumbered.unknown, R"(, "byte_fallback": )", flag, ", ",
                 unused_member(unused), R"("vocab": [)",
                 joined(renumbered.pieces,
                        [](const NumberedPiece& piece) {
                          return cat("[", json_string(piece.text), ", ", number_text(piece.score), "]");
                        }),
                 "]}");
    const std::string metaspace = cat(R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": ")",
                                      prefix ? "always" : "never", R"(", "split": true})");
    pre_tokenizer = metaspace;
    decoder = metaspace;
    if (model.byte_fallback)
      decoder = cat(R"({"type": "Sequence", "decoders": [{"type": "ByteFallback"}, )", metaspace, "]}");
  } else {
    std::int32_t id = 0;
    pieces = cat(
        R"({"type": "BPE", "unk_token": )", json_string(unknown), R"(, "fuse_unk": true, "byte_fallback": )", flag,
        R"(, "vocab": {)",
        joined(renumbered.pieces, [&](const NumberedPiece& piece) { return cat(json_string(piece.text), ": ", id++); }),
        R"(}, "merges": [)", merges_of(model, renumbered.pieces), "]}");
    if (prefix) steps += std::string(steps.empty() ? "" : ", ") + R"({"type": "Prepend", "prepend": "▁"})";
    steps +=
        std::string(steps.empty() ? "" : ", ") + R"({"type": "Replace", "pattern": {"String": " "}, "content": "▁"})";
    decoder =
        cat(R"({"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, )",
            R"({"type": "ByteFallback"}, {"type": "Fuse"})",
            prefix ? R"(, {"type": "Strip", "content": " ", "start": 1, "stop": 0})" : "", "]}");
  }
  const std::string added = joined(renumbered.added, [](const AddedPiece& piece) {
    return cat(R"({"id": )", piece.id, R"(, "content": )", json_string(piece.text),
               R"(, "single_word": false, "lstrip": )", piece.lstrip ? "true" : "false",
               R"(, "rstrip": false, "normalized": false, "special": )", piece.special ? "true" : "false", "}");
  });
  const bool has_template = !renumbered.begin.empty() || !renumbered.between.empty() || !renumbered.end.empty();
  return cat(R"({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [)", added,
             R"(], "normalizer": {"type": "Sequence", "normalizers": [)", steps, R"(]}, "pre_tokenizer": )",
             pre_tokenizer, R"(, "post_processor": )", has_template ? template_of(renumbered) : "null",
             R"(, "decoder": )", decoder, R"(, "model": )", pieces, "}\n");
}

}  // namespace pipeformer::hf
