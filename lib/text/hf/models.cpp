#include "text/hf/models.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "text/utf8.hpp"

namespace pipeformer::hf {

void Model::sample(std::string_view, double, Random&, std::vector<std::int32_t>&) const {
  throw Error("this tokenizer has one segmentation for each line: nothing can be sampled");
}

std::string Model::text_of(std::int32_t id, bool, bool) const {
  const std::string* piece = vocabulary_.piece(id);
  return piece ? *piece : std::string();
}

std::vector<Place> Model::places(std::string_view word, std::span<const std::int32_t> ids) const {
  const auto text = [&](std::size_t i) { return text_of(ids[i], i == 0, i + 1 == ids.size()); };
  std::vector<Place> places;
  std::size_t at = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    std::size_t end = word.size();
    if (ids[i] == unknown_id()) {
      // A byte at least, up to where the text of the next id is found.
      if (i + 1 < ids.size() && ids[i + 1] == unknown_id())
        end = at < word.size() ? at + utf8_step(word, at).length : at;
      else if (i + 1 < ids.size())
        end = std::min(word.find(text(i + 1), at + 1), word.size());
    } else {
      const std::string own = text(i);
      at = std::min(word.find(own, at), word.size());  // the format leaves out some unknown characters
      end = std::min(at + own.size(), word.size());
    }
    places.push_back({at, end});
    at = end;
  }
  return places;
}

std::unique_ptr<Model> read_model(const Json& section) {
  JsonObject object(section);
  std::string type = object.text("type", "");
  if (type.empty()) {  // Files before 2020 do not say.
    const auto vocabulary = object.find("vocab");
    if (object.find("merges"))
      type = "BPE";
    else if (vocabulary && vocabulary->is_array())
      type = "Unigram";
    else if (object.find("max_input_chars_per_word"))
      type = "WordPiece";
    else
      type = "WordLevel";
  }
  std::unique_ptr<Model> model;
  if (type == "BPE")
    model = read_bpe(object);
  else if (type == "Unigram")
    model = read_unigram(object);
  else if (type == "WordPiece")
    model = read_wordpiece(object);
  else if (type == "WordLevel")
    model = read_wordlevel(object);
  else
    object.not_understood("type");
  object.finish();
  return model;
}

void read_vocabulary(JsonObject& object, Vocabulary& vocabulary) {
  const Json pieces = object.need("vocab");
  if (!pieces.is_object()) pieces.fail("not an object");
  vocabulary.reserve(pieces.size());
  // Sorted by id first: how far an id may lie from the others depends on how many there are before it.
  std::vector<std::pair<std::int64_t, std::size_t>> sorted(pieces.size());
  for (std::size_t i = 0; i < pieces.size(); ++i) sorted[i] = {pieces[i].integer(), i};
  std::sort(sorted.begin(), sorted.end());
  for (const auto& [id, i] : sorted)
    if (const auto problem = vocabulary.add(pieces.key(i), id); !problem.empty()) pieces.fail(problem);
}

std::string byte_piece(unsigned char byte) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  return {'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'};
}

}  // namespace pipeformer::hf
