#include "train/corpus.hpp"

#include <algorithm>
#include <numeric>

#include "core/error.hpp"
#include "core/random.hpp"
#include "io/stream.hpp"

namespace pipeformer {

IdStream IdStream::load(const std::string& address, std::int64_t vocabulary) {
  const auto reader = RecordReader::open(address);
  IdStream stream;
  for (Array record; reader->next(record);) {
    reader->expect_ids(record);
    require(record.rank() == 1, reader->where(), ": ids of rank ", record.rank(), " ", shape_text(record.shape),
            ", expected (T,)");
    for (const std::int32_t id : record.values<std::int32_t>()) {
      require(id >= 0 && id < vocabulary, reader->where(), ": id ", id, " is outside the vocabulary of ", vocabulary);
      stream.ids.push_back(id);
    }
    stream.offsets.push_back(static_cast<std::int64_t>(stream.ids.size()));
  }
  return stream;
}

PairCorpus PairCorpus::load(const std::string& source, const std::string& target, std::int64_t source_vocabulary,
                            std::int64_t target_vocabulary) {
  PairCorpus corpus{IdStream::load(source, source_vocabulary), IdStream::load(target, target_vocabulary)};
  require(corpus.source.records() == corpus.target.records(), source, " has ", corpus.source.records(), " records, ",
          target, " has ", corpus.target.records());
  require(corpus.pairs() > 0, source, ": no records");
  return corpus;
}

std::int64_t PairCorpus::fingerprint() const {
  std::uint64_t mixed = 0;
  for (const IdStream* stream : {&source, &target}) {
    for (const std::int64_t offset : stream->offsets) mixed = mix64(mixed ^ static_cast<std::uint64_t>(offset));
    for (const std::int32_t id : stream->ids) mixed = mix64(mixed ^ static_cast<std::uint64_t>(id));
  }
  return static_cast<std::int64_t>(mixed);
}

void PairBatch::clear() {
  source.clear();
  target.clear();
  labels.clear();
  source_offsets.assign(1, 0);
  target_offsets.assign(1, 0);
}

void PairBatch::append(const PairCorpus& corpus, std::int64_t pair, std::int32_t begin_id, std::int32_t end_id) {
  source.insert(source.end(), corpus.source.record(pair), corpus.source.record(pair) + corpus.source.length(pair));
  const std::int32_t* tokens = corpus.target.record(pair);
  const std::int64_t length = corpus.target.length(pair);
  target.push_back(begin_id);
  target.insert(target.end(), tokens, tokens + length);
  labels.insert(labels.end(), tokens, tokens + length);
  labels.push_back(end_id);
  source_offsets.push_back(static_cast<std::int64_t>(source.size()));
  target_offsets.push_back(static_cast<std::int64_t>(target.size()));
}

std::vector<std::int64_t> epoch_order(std::int64_t pairs, std::uint64_t seed, std::int64_t epoch) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(pairs));
  std::iota(order.begin(), order.end(), 0);
  Random random(derive_key(derive_key(seed, 0x6f72646572), static_cast<std::uint64_t>(epoch)));  // "order"
  for (std::int64_t i = pairs - 1; i > 0; --i)                                                   // Fisher-Yates
    std::swap(order[static_cast<std::size_t>(i)],
              order[static_cast<std::size_t>(random.below(static_cast<std::uint64_t>(i + 1)))]);
  return order;
}

std::int64_t batch_end(const PairCorpus& corpus, const std::vector<std::int64_t>& order, std::int64_t first,
                       std::int64_t tokens) {
  std::int64_t total = 0, end = first;
  while (end < static_cast<std::int64_t>(order.size())) {
    total += corpus.target.length(order[static_cast<std::size_t>(end)]) + 1;
    if (end > first && total > tokens) break;
    ++end;
  }
  return end;
}

}  // namespace pipeformer
