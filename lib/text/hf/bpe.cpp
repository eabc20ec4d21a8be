// Byte-pair encoding (Sennrich et al. 2016): a word's characters, of which neighbours are merged, always the pair
// that was learned first, the leftmost of equals.
#include <algorithm>
#include <array>
#include <utility>

#include "core/error.hpp"
#include "text/hf/byte_level.hpp"
#include "text/hf/flat_map.hpp"
#include "text/hf/models.hpp"
#include "text/utf8.hpp"

namespace pipeformer::hf {
namespace {

struct Merge {
  std::uint32_t rank = 0;
  std::int32_t id = 0;
};

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
}

class Bpe final : public Model {
 public:
  explicit Bpe(JsonObject& object)
      : prefix_(object.text("continuing_subword_prefix", "")),
        suffix_(object.text("end_of_word_suffix", "")),
        fuse_unknown_(object.boolean("fuse_unk", false)),
        byte_fallback_(object.boolean("byte_fallback", false)),
        whole_words_first_(object.boolean("ignore_merges", false)) {
    read_vocabulary(object, vocabulary_);
    if (const auto unknown = object.maybe_text("unk_token")) {
      unknown_ = vocabulary_.find(*unknown);
      if (unknown_ < 0) object.need("unk_token").fail("which is not in the vocabulary");
    }
    if (const auto dropout = object.find("dropout"))  // For training: sample() takes a rate of its own.
      if (!(dropout->number() >= 0 && dropout->number() <= 1)) dropout->fail("not between 0 and 1");
    for (unsigned byte = 0; byte < 256; ++byte)
      bytes_[byte] = vocabulary_.find(byte_piece(static_cast<unsigned char>(byte)));
    read_merges(object);
    // No piece reaches over such a cut, and nothing of a word depends on where it stands.
    cuts_at_marks_ &= prefix_.empty() && suffix_.empty() && !whole_words_first_ && vocabulary_.find(word_mark) >= 0;
  }

  void encode(std::string_view word, std::vector<std::int32_t>& ids) const override {
    if (whole_words_first_) {
      const std::int32_t whole = words_.count() ? words_.find(word) : vocabulary_.find(word);
      if (whole >= 0) return ids.push_back(whole);
    }
    thread_local std::vector<std::int32_t> symbols;
    split(word, symbols);
    if (symbols.size() <= 48)
      merge_by_scanning(symbols, [](const Merge&) { return true; });
    else
      merge_by_queue(symbols);
    ids.insert(ids.end(), symbols.begin(), symbols.end());
  }

  bool cuts_at_marks() const override { return cuts_at_marks_; }

  bool can_sample() const override { return true; }
  void sample(std::string_view word, double dropout, Random& random, std::vector<std::int32_t>& ids) const override {
    std::vector<std::int32_t> symbols;
    split(word, symbols);
    merge_by_scanning(symbols, [&](const Merge&) { return random.uniform() >= dropout; });
    ids.insert(ids.end(), symbols.begin(), symbols.end());
  }

  bool take_bytes() override {
    if (!prefix_.empty() || !suffix_.empty()) return false;
    std::string bytes;
    for (unsigned byte = 0; byte < 256; ++byte) {
      const std::int32_t id = vocabulary_.find(to_byte_characters(std::string(1, static_cast<char>(byte))));
      if (id < 0) return false;  // What becomes of a missing one depends on the character that is written for it.
      byte_ids_[byte] = id;
    }
    on_bytes_ = true;
    cuts_at_marks_ = false;
    if (whole_words_first_) {
      words_.reserve(static_cast<std::size_t>(vocabulary_.count()));
      for (std::int32_t id = 0; id < vocabulary_.size(); ++id) {
        const std::string* piece = vocabulary_.piece(id);
        bytes.clear();
        if (piece && append_bytes_of_characters(*piece, bytes)) words_.add(bytes, id);
      }
    }
    return true;
  }

  std::int32_t unknown_id() const override { return unknown_; }

 private:
  std::string text_of(std::int32_t id, bool first, bool last) const override {
    const auto byte = std::find(bytes_.begin(), bytes_.end(), id);
    if (byte_fallback_ && byte != bytes_.end()) return {static_cast<char>(byte - bytes_.begin())};
    const std::string piece = Model::text_of(id, first, last);
    if (std::string bytes; on_bytes_ && append_bytes_of_characters(piece, bytes)) return bytes;
    std::string_view text = piece;
    if (!first && text.starts_with(prefix_)) text.remove_prefix(prefix_.size());
    if (last && text.ends_with(suffix_)) text.remove_suffix(suffix_.size());
    return std::string(text);
  }

  void read_merges(JsonObject& object) {
    const Json list = object.array("merges");
    for (std::uint32_t rank = 0; rank < list.size(); ++rank) {
      const Json merge = list[rank];
      std::string left, right;
      if (merge.is_string()) {
        const std::string& text = merge.string();
        const std::size_t space = text.find(' ');
        if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
          merge.fail("not two pieces with a space between them");
        left = text.substr(0, space);
        right = text.substr(space + 1);
      } else {
        if (!merge.is_array() || merge.size() != 2) merge.fail("not a pair");
        left = merge[0].string();
        right = merge[1].string();
      }
      if (right.size() < prefix_.size()) merge.fail(cat("whose second piece has no prefix '", prefix_, "'"));
      const auto id_of = [&](const std::string& piece) {
        const std::int32_t id = vocabulary_.find(piece);
        if (id < 0) merge.fail(cat("but '", piece, "' is not in the vocabulary"));
        return id;
      };
      const std::int32_t left_id = id_of(left), right_id = id_of(right);
      merges_[pair_key(left_id, right_id)] = {rank, id_of(left + right.substr(prefix_.size()))};
      cuts_at_marks_ &= !right.starts_with(word_mark) || left.ends_with(word_mark);
    }
  }

  /// The word's characters as ids.
  void split(std::string_view word, std::vector<std::int32_t>& symbols) const {
    symbols.clear();
    if (on_bytes_) {
      for (const char byte : word) symbols.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
      return;
    }
    bool unknown_waits = false;  // Runs of unknown characters may become one id.
    std::string written;
    for (std::size_t at = 0; at < word.size();) {
      const std::size_t length = utf8_step(word, at).length;
      std::string_view character = word.substr(at, length);
      const bool last = at + length == word.size();
      if ((at > 0 && !prefix_.empty()) || (last && !suffix_.empty())) {
        written = cat(at > 0 ? prefix_ : "", character, last ? suffix_ : "");
        character = written;
      }
      at += length;
      const std::int32_t id = vocabulary_.find(character);
      if (id >= 0) {
        if (std::exchange(unknown_waits, false)) symbols.push_back(unknown_);
        symbols.push_back(id);
        continue;
      }
      if (byte_fallback_ && std::all_of(character.begin(), character.end(),
                                        [this](char byte) { return bytes_[static_cast<unsigned char>(byte)] >= 0; })) {
        for (const char byte : character) symbols.push_back(bytes_[static_cast<unsigned char>(byte)]);
        continue;
      }
      if (unknown_ < 0) continue;  // The format leaves such a character out.
      if (unknown_waits && !fuse_unknown_) symbols.push_back(unknown_);
      unknown_waits = true;
    }
    if (unknown_waits) symbols.push_back(unknown_);
  }

  const Merge* merge_of(std::int32_t left, std::int32_t right) const { return merges_.find(pair_key(left, right)); }

  /// For short words: the ranks of all neighbours, looked over for each merge. `accept(merge)` may refuse one, which
  /// then is asked for again only after the next merge.
  template <class Accept>
  void merge_by_scanning(std::vector<std::int32_t>& symbols, Accept accept) const {
    if (symbols.size() < 2) return;
    thread_local std::vector<Merge> between;  // Symbol i and the next one.
    const Merge none{~0u, -1};
    const auto look_up = [&](std::size_t i) {
      const Merge* merge = i + 1 < symbols.size() ? merge_of(symbols[i], symbols[i + 1]) : nullptr;
      return merge ? *merge : none;
    };
    between.resize(symbols.size());
    for (std::size_t i = 0; i < symbols.size(); ++i) between[i] = look_up(i);
    thread_local std::vector<char> refused;
    while (true) {
      std::size_t best = symbols.size();
      refused.clear();
      while (true) {
        best = symbols.size();
        for (std::size_t i = 0; i + 1 < symbols.size(); ++i)
          if (between[i].id >= 0 && (best == symbols.size() || between[i].rank < between[best].rank) &&
              (refused.empty() || !refused[i]))
            best = i;
        if (best == symbols.size()) return;
        if (accept(between[best])) break;
        refused.resize(symbols.size());
        refused[best] = 1;
      }
      symbols[best] = between[best].id;
      symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
      between.erase(between.begin() + static_cast<std::ptrdiff_t>(best) + 1);
      between[best] = look_up(best);
      if (best > 0) between[best - 1] = look_up(best - 1);
    }
  }

  /// For long ones: a queue of possible merges, and the symbols as a linked list.
  void merge_by_queue(std::vector<std::int32_t>& symbols) const {
    struct Link {
      std::int32_t previous, next;
    };
    struct Candidate {
      std::uint32_t rank;
      std::int32_t at, left, right, id;
      bool operator<(const Candidate& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
    };
    const auto count = static_cast<std::int32_t>(symbols.size());
    std::vector<Link> links(symbols.size());
    std::vector<Candidate> heap;
    heap.reserve(symbols.size());
    const auto symbol = [&](std::int32_t i) -> std::int32_t& { return symbols[static_cast<std::size_t>(i)]; };
    const auto link = [&](std::int32_t i) -> Link& { return links[static_cast<std::size_t>(i)]; };
    const auto candidate = [&](std::int32_t left, std::int32_t right) {
      if (left < 0 || right >= count) return false;
      const Merge* merge = merge_of(symbol(left), symbol(right));
      if (merge) heap.push_back({merge->rank, left, symbol(left), symbol(right), merge->id});
      return merge != nullptr;
    };
    for (std::int32_t i = 0; i < count; ++i) {
      link(i) = {i - 1, i + 1};
      candidate(i, i + 1);
    }
    std::make_heap(heap.begin(), heap.end());
    while (!heap.empty()) {
      std::pop_heap(heap.begin(), heap.end());
      const Candidate top = heap.back();
      heap.pop_back();
      const std::int32_t right = link(top.at).next;
      // Either side may have been merged with another neighbour meanwhile.
      if (symbol(top.at) != top.left || right >= count || symbol(right) != top.right) continue;
      symbol(top.at) = top.id;
      symbol(right) = -1;
      const std::int32_t next = link(top.at).next = link(right).next;
      if (next < count) link(next).previous = top.at;
      if (candidate(link(top.at).previous, top.at)) std::push_heap(heap.begin(), heap.end());
      if (candidate(top.at, next)) std::push_heap(heap.begin(), heap.end());
    }
    std::erase(symbols, -1);
  }

  std::string prefix_, suffix_;
  bool fuse_unknown_, byte_fallback_, whole_words_first_;
  std::int32_t unknown_ = -1;
  bool cuts_at_marks_ = true;
  FlatMap<Merge> merges_;
  std::array<std::int32_t, 256> bytes_{};  // "<0x00>" and so on.
  bool on_bytes_ = false;
  std::array<std::int32_t, 256> byte_ids_{};  // When words are bytes.
  Vocabulary words_;                          // The same pieces as bytes.
};

}  // namespace

std::unique_ptr<Model> read_bpe(JsonObject& object) {
  return std::make_unique<Bpe>(object);
}

}  // namespace pipeformer::hf
