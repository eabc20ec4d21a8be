#include "search/ensemble.hpp"

#include "core/error.hpp"
#include "text/tokenizer.hpp"

namespace pipeformer {
namespace {

void expect_same_ids(const ModelFile& first, const ModelFile& other) {
  const Configuration &a = first.configuration(), &b = other.configuration();
  const auto expect = [&](const char* what, const auto& x, const auto& y) {
    require(x == y, other.name(), ": ", what, " is ", y, ", that of ", first.name(), " is ", x,
            ": they are no ensemble");
  };
  expect("kind", name_of(a.kind), name_of(b.kind));
  expect("source_vocabulary", a.source_vocabulary, b.source_vocabulary);
  expect("target_vocabulary", a.target_vocabulary, b.target_vocabulary);
  expect("begin_id", a.begin_id, b.begin_id);
  expect("end_id", a.end_id, b.end_id);
  expect("suppressed_id", a.suppressed_id, b.suppressed_id);
  const auto ours = first.tokenizer(), theirs = other.tokenizer();
  if (!ours || !theirs || *ours == *theirs) return;
  const auto one = Tokenizer::parse(*ours, first.name()), two = Tokenizer::parse(*theirs, other.name());
  for (std::int32_t id = 0; id < a.target_vocabulary; ++id) {
    const auto piece = [id](const Tokenizer& t) { return t.has_piece(id) ? t.piece(id) : std::string(); };
    require(piece(*one) == piece(*two), other.name(), ": id ", id, " is '", piece(*two), "', in ", first.name(), " '",
            piece(*one), "': they are no ensemble");
  }
}

}  // namespace

Ensemble::Ensemble(const ModelFile& first, std::span<const std::string> others, std::optional<WeightType> weights) {
  for (const std::string& name : others) {
    const ModelFile& other = files_.emplace_back(name, weights);
    require(other.group().empty(), name, ": expected a whole model, not a part of one");
    expect_same_ids(first, other);
  }
}

void Ensemble::load() {
  for (ModelFile& file : files_) models_.emplace_back(file, file.configuration(), Transformer::Stacks::all);
}

std::vector<const Transformer*> Ensemble::models() const {
  std::vector<const Transformer*> all;
  for (const Transformer& model : models_) all.push_back(&model);
  return all;
}

void Ensemble::check(const BatchStream& sources, const BatchStream* ids, std::int64_t room, Beyond beyond) const {
  require(files_.empty() || sources.batch.ids, sources.where_record(0),
          ": vectors are the memory of one model; an ensemble reads ids");
  for (const ModelFile& file : files_) check_ids_of(file.configuration(), sources, ids, room, beyond);
}

void check_ids_of(const Configuration& c, const BatchStream& sources, const BatchStream* ids, std::int64_t room,
                  Beyond beyond) {
  const bool encoder = c.has_encoder();
  check_ids(sources, encoder ? c.source_vocabulary : c.target_vocabulary, c, encoder ? 0 : room, beyond);
  if (ids) check_ids(*ids, c.target_vocabulary, c, room, beyond);
}

}  // namespace pipeformer
