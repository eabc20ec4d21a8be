// A unigram language model of pieces (Kudo 2018): of all segmentations the one of the highest sum of scores.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>

#include "core/error.hpp"
#include "text/hf/models.hpp"
#include "text/hf/sentencepiece_json.hpp"
#include "text/hf/trie.hpp"
#include "text/utf8.hpp"

namespace pipeformer::hf {
namespace {

/// An unknown character scores so much less than the worst piece, as SentencePiece has it.
constexpr double unknown_penalty = 10;

class Unigram final : public Model {
 public:
  explicit Unigram(JsonObject& object) : byte_fallback_(object.boolean("byte_fallback", false)) {
    const Json list = object.array("vocab");
    vocabulary_.reserve(list.size());
    const std::set<std::int64_t> unused = read_unused(object, list.size());
    double lowest = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < list.size(); ++i) {
      const Json item = list[i];
      const auto id = static_cast<std::int32_t>(i);
      if (!item.is_array() || item.size() != 2) item.fail("not a piece and its score");
      const std::string& piece = item[0].string();
      const double score = item[1].number();
      const bool usable = !unused.contains(id);
      scores_.push_back(usable ? score : -std::numeric_limits<double>::infinity());
      if (usable) {
        lowest = std::min(lowest, scores_.back());
        if (!piece.empty()) trie_.add(piece, id);
      }
      vocabulary_.add(piece, id);  // In order, each once: nothing can be wrong.
    }
    unknown_score_ = lowest - unknown_penalty;
    if (const auto unknown = object.find("unk_id")) {
      if (unknown->integer() < 0 || unknown->integer() >= std::int64_t{vocabulary_.size()})
        unknown->fail(cat("not in the vocabulary of ", vocabulary_.size()));
      unknown_ = static_cast<std::int32_t>(unknown->integer());
    }
    for (unsigned byte = 0; byte < 256; ++byte)
      bytes_[byte] = vocabulary_.find(byte_piece(static_cast<unsigned char>(byte)));
    byte_fallback_ = byte_fallback_ && std::all_of(bytes_.begin(), bytes_.end(), [](auto id) { return id >= 0; });
  }

  void encode(std::string_view word, std::vector<std::int32_t>& ids) const override {
    struct Node {
      double score;
      std::int32_t id = -1;
      std::size_t begin;
    };
    thread_local std::vector<Node> ends;  // The best segmentation that ends at each byte: its last piece.
    ends.assign(word.size() + 1, Node{0, -1, none});
    const auto offer = [&](std::size_t begin, std::size_t end, double score, std::int32_t id) {
      Node& node = ends[end];
      if (node.begin == none || score > node.score) node = {score, id, begin};
    };
    for (std::size_t at = 0; at < word.size();) {
      const std::size_t length = utf8_step(word, at).length;
      const double before = ends[at].score;
      bool single = false;
      trie_.prefixes(word.substr(at), [&](std::size_t size, std::int32_t id) {
        offer(at, at + size, scores_[static_cast<std::size_t>(id)] + before, id);
        single |= size == length;
      });
      if (!single) {
        require(unknown_ >= 0, "the tokenizer has neither a piece for '", word.substr(at, length),
                "' nor an unknown id");
        offer(at, at + length, unknown_score_ + before, unknown_);
      }
      at += length;
    }
    // From the end; a run of unknown ones is one part.
    thread_local std::vector<std::pair<std::size_t, std::size_t>> parts;
    parts.clear();
    bool run = false;
    for (std::size_t end = word.size(); end > 0; end = ends[end].begin) {
      const bool unknown = ends[end].id == unknown_;
      if (unknown && run)
        parts.back().first = ends[end].begin;
      else
        parts.emplace_back(ends[end].begin, end);
      run = unknown;
    }
    for (auto part = parts.rbegin(); part != parts.rend(); ++part)
      append_part(word.substr(part->first, part->second - part->first), ids);
  }

  double score(std::int32_t id) const override {
    return id >= 0 && id < static_cast<std::int32_t>(scores_.size()) ? scores_[static_cast<std::size_t>(id)] : 0;
  }
  std::int32_t unknown_id() const override { return unknown_; }

 private:
  std::string text_of(std::int32_t id, bool first, bool last) const override {
    const auto byte = std::find(bytes_.begin(), bytes_.end(), id);
    if (byte_fallback_ && byte != bytes_.end()) return {static_cast<char>(byte - bytes_.begin())};
    return Model::text_of(id, first, last);
  }

  static std::set<std::int64_t> read_unused(JsonObject& object, std::size_t size) {
    std::set<std::int64_t> unused;
    const auto list = object.find(kUnusedPieces);
    for (std::size_t i = 0; list && i < list->size(); ++i) {
      const std::int64_t id = (*list)[i].integer();
      if (id < 0 || id >= static_cast<std::int64_t>(size)) (*list)[i].fail(cat("not in the vocabulary of ", size));
      unused.insert(id);
    }
    return unused;
  }

  static constexpr std::size_t none = static_cast<std::size_t>(-1);

  void append_part(std::string_view part, std::vector<std::int32_t>& ids) const {
    const std::int32_t id = vocabulary_.find(part);
    if (id >= 0 && std::isfinite(scores_[static_cast<std::size_t>(id)])) {
      ids.push_back(id);
    } else if (byte_fallback_) {
      for (const char byte : part) ids.push_back(bytes_[static_cast<unsigned char>(byte)]);
    } else {
      ids.push_back(unknown_);
    }
  }

  bool byte_fallback_;
  std::vector<double> scores_;
  Trie trie_;
  double unknown_score_ = 0;
  std::int32_t unknown_ = -1;
  std::array<std::int32_t, 256> bytes_{};
};

}  // namespace

std::unique_ptr<Model> read_unigram(JsonObject& object) {
  return std::make_unique<Unigram>(object);
}

}  // namespace pipeformer::hf
