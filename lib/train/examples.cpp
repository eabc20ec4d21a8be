#include "train/examples.hpp"

#include <algorithm>
#include <bit>
#include <numeric>
#include <span>

#include "core/error.hpp"
#include "core/random.hpp"
#include "core/text_spans.hpp"
#include "core/words.hpp"

namespace pipeformer {

void ExampleBatch::clear() {
  for (auto* ids : {&source_ids, &source_types, &target_ids, &labels, &rows}) ids->clear();
  source_vectors.clear();
  source_offsets.assign(1, 0);
  target_offsets.assign(1, 0);
  source_first = target_first = {};
}

std::int64_t ExampleBatch::sequences() const {
  return static_cast<std::int64_t>(std::max(source_offsets.size(), target_offsets.size())) - 1;
}

Transformer::Examples ExampleBatch::view() const {
  Transformer::Examples view;
  view.source.ragged = {source_offsets};
  if (vectors) view.source.kind = Transformer::Source::Kind::vectors;
  view.source.ids = source_ids.data();
  if (!source_types.empty()) view.source.types = source_types.data();
  view.source.rows = source_vectors.data();
  view.source.first = source_first;
  view.target = {{target_offsets}, target_ids.data(), target_first};
  view.labels = labels;
  view.rows = rows.data();
  view.spans = spans;
  return view;
}

Transformer::Source ExampleBatch::target_source() const {
  Transformer::Source source;
  source.ragged = {target_offsets};
  source.ids = target_ids.data();
  source.first = target_first;
  return source;
}

std::int64_t ExampleBatch::answers() const {
  if (pairs) return 2 * sequences();
  return std::count_if(labels.begin(), labels.end(), [](std::int32_t label) { return label >= 0; });
}

std::vector<std::int64_t> Examples::epoch(std::uint64_t) const {
  return all_;
}

namespace {

void append_ids(const RecordSet& records, std::int64_t r, std::vector<std::int32_t>& to) {
  to.insert(to.end(), records.ids(r), records.ids(r) + records.length(r));
}

void append_source(const RecordSet& records, std::int64_t r, ExampleBatch& batch) {
  if (records.width() == 0) {
    append_ids(records, r, batch.source_ids);
    if (const std::int32_t* types = records.types(r))
      batch.source_types.insert(batch.source_types.end(), types, types + records.length(r));
  } else {
    const float* rows = records.vectors(r);
    batch.vectors = true;
    batch.source_vectors.insert(batch.source_vectors.end(), rows, rows + records.length(r) * records.width());
  }
  batch.source_offsets.push_back(batch.source_offsets.back() + records.length(r));
}

/// What a decoder reads and predicts of one target. Without a begin id (-1) nothing predicts the first token; an end id
/// of -1 is left out of the loss.
void append_target(const RecordSet& records, std::int64_t r, std::int32_t begin, std::int32_t end,
                   ExampleBatch& batch) {
  const std::int32_t* ids = records.ids(r);
  const std::int64_t length = records.length(r), unpredicted = begin < 0 ? 1 : 0;
  if (begin >= 0) batch.target_ids.push_back(begin);
  append_ids(records, r, batch.target_ids);
  batch.labels.insert(batch.labels.end(), ids + std::min(unpredicted, length), ids + length);
  if (begin >= 0 || length > 0) batch.labels.push_back(end);
  batch.target_offsets.push_back(static_cast<std::int64_t>(batch.target_ids.size()));
}

/// The fingerprint of data of which an option makes something else; 0: nothing.
std::uint64_t with_option(std::uint64_t fingerprint, std::int64_t option) {
  return option == 0 ? fingerprint : derive_seed(fingerprint, static_cast<std::uint64_t>(option));
}

/// Throws Error naming the record that is too long for the model's encoder or decoder. extra: what the model adds to it
/// (begin, class tokens).
void expect_room(const RecordSet& records, std::int64_t r, std::int64_t extra, const Configuration& c, bool decoding) {
  const auto longest = c.longest(decoding);
  if (!longest || records.length(r) + extra <= *longest) return;
  throw Error(cat(records.where(r), ": a sequence of ", records.length(r),
                  extra > 0 ? cat(", and ", extra, " more,") : "", " is longer than the model's ", *longest,
                  " learned positions; --max-length leaves such records out"));
}

/// Throws Error naming the record that lacks the end id by which the model pools.
void expect_end(const RecordSet& records, std::int64_t r, const Configuration& c) {
  if (c.pooling != Pooling::end || records.length(r) == 0) return;
  require(records.width() == 0, records.name(), ": vectors have no end id, by which the model pools");
  const std::int32_t *begin = records.ids(r), *end = begin + records.length(r);
  if (c.end_id >= 0 && std::find(begin, end, static_cast<std::int32_t>(c.end_id)) == end)
    throw Error(cat(records.where(r), ": has no end id ", c.end_id, ", which stands for the whole sequence"));
}

/// Numbers are records of both. expect_rooms throws for a record that is too long for who reads it.
class Pairs : public Examples {
 protected:
  template <class ExpectRooms>
  Pairs(RecordSet source, RecordSet target, std::int64_t max_length, const ExpectRooms& expect_rooms)
      : source_(std::move(source)), target_(std::move(target)) {
    require(source_.records() == target_.records(), source_.name(), " has ", source_.records(), " records, ",
            target_.name(), " has ", target_.records());
    for (std::int64_t i = 0; i < target_.records(); ++i) {
      if (max_length > 0 && std::max(source_.length(i), target_.length(i)) > max_length) {
        ++skipped_;
        continue;
      }
      expect_rooms(source_, target_, i);
      all_.push_back(i);
    }
    require(!all_.empty(), source_.name(), ": no records of at most --max-length tokens");
    fingerprint_ = with_option(derive_seed(source_.fingerprint(), target_.fingerprint()), max_length);
  }
  RecordSet source_, target_;
};

class Translation : public Pairs {
 public:
  Translation(RecordSet source, RecordSet target, const Configuration& c, std::int64_t max_length)
      : Pairs(std::move(source), std::move(target), max_length,
              [&](const RecordSet& sources, const RecordSet& targets, std::int64_t i) {
                expect_room(sources, i, 0, c, false);
                expect_room(targets, i, 1, c, true);
              }),
        begin_(static_cast<std::int32_t>(c.begin_id)),
        end_(static_cast<std::int32_t>(c.end_id)) {}
  std::int64_t tokens(std::int64_t i) const override { return target_.length(i) + 1; }
  void append(std::int64_t i, std::uint64_t, ExampleBatch& batch) const override {
    append_source(source_, i, batch);
    append_target(target_, i, begin_, end_, batch);
  }

 private:
  std::int32_t begin_, end_;
};

/// Numbers are records.
class Lines : public Examples {
 public:
  Lines(RecordSet records, std::int64_t extra, const Configuration& c, std::int64_t max_length)
      : records_(std::move(records)) {
    for (std::int64_t i = 0; i < records_.records(); ++i) {
      if (max_length > 0 && records_.length(i) > max_length) {
        ++skipped_;
        continue;
      }
      expect_room(records_, i, extra, c, c.has_decoder());
      all_.push_back(i);
    }
    require(!all_.empty(), records_.name(), ": no records of at most --max-length tokens");
    fingerprint_ = with_option(records_.fingerprint(), max_length);
  }

 protected:
  RecordSet records_;
};

class LanguageLines : public Lines {
 public:
  LanguageLines(RecordSet records, const Configuration& c, std::int64_t max_length)
      : Lines(std::move(records), 1, c, max_length),
        begin_(static_cast<std::int32_t>(c.begin_id)),
        end_(static_cast<std::int32_t>(c.end_id)) {}
  std::int64_t tokens(std::int64_t i) const override { return records_.length(i) + 1; }
  void append(std::int64_t i, std::uint64_t, ExampleBatch& batch) const override {
    append_target(records_, i, begin_, end_, batch);
  }

 private:
  std::int32_t begin_, end_;
};

/// Numbers are positions in the running text.
class LanguageWindows : public Examples {
 public:
  LanguageWindows(RecordSet records, const Configuration& c, std::int64_t context)
      : records_(std::move(records)), begin_(static_cast<std::int32_t>(c.begin_id)), context_(context) {
    require(context <= c.longest(true).value_or(context), "--context ", context, " is longer than the model's ",
            c.decoder.max_positions, " learned positions");
    if (records_.records() == 1) {
      text_ = {records_.ids(0), static_cast<std::size_t>(records_.length(0))};
    } else {
      for (std::int64_t r = 0; r < records_.records(); ++r) {
        append_ids(records_, r, joined_);
        joined_.push_back(static_cast<std::int32_t>(c.end_id));
      }
      text_ = joined_;
    }
    require(!text_.empty(), records_.name(), ": a text of no tokens");
    for (std::int64_t at = 0; at < size(); at += context_) all_.push_back(at);
    fingerprint_ = with_option(records_.fingerprint(), context);
  }
  std::vector<std::int64_t> epoch(std::uint64_t seed) const override {
    // Full windows only, from a random beginning, so that over the epochs each token is seen after many contexts.
    const std::int64_t spare = size() - context_;
    if (spare <= 0) return {0};
    std::vector<std::int64_t> windows;
    const auto bound = static_cast<std::uint64_t>(std::min(context_, spare + 1));
    for (auto at = static_cast<std::int64_t>(Random(seed).below(bound)); at <= spare; at += context_)
      windows.push_back(at);
    return windows;
  }
  std::int64_t tokens(std::int64_t at) const override { return std::min(context_, size() - at); }
  void append(std::int64_t at, std::uint64_t, ExampleBatch& batch) const override {
    const auto first = text_.begin() + at, last = first + tokens(at);
    batch.target_ids.push_back(begin_);
    batch.target_ids.insert(batch.target_ids.end(), first, last - 1);
    batch.labels.insert(batch.labels.end(), first, last);
    batch.target_offsets.push_back(static_cast<std::int64_t>(batch.target_ids.size()));
  }

 private:
  std::int64_t size() const { return static_cast<std::int64_t>(text_.size()); }
  RecordSet records_;
  std::vector<std::int32_t> joined_;  ///< When there are several records.
  std::span<const std::int32_t> text_;
  std::int32_t begin_;
  std::int64_t context_;
};

class Masked : public Lines {
 public:
  Masked(RecordSet records, const Configuration& c, double rate, std::int64_t max_length)
      : Lines(std::move(records), 0, c, max_length),
        rate_(rate),
        mask_(static_cast<std::int32_t>(c.mask_id)),
        vocabulary_(static_cast<std::uint64_t>(c.source_vocabulary)) {
    fingerprint_ = derive_seed(fingerprint_, std::bit_cast<std::uint64_t>(rate));
  }
  std::int64_t tokens(std::int64_t i) const override { return records_.length(i); }
  void append(std::int64_t i, std::uint64_t seed, ExampleBatch& batch) const override {
    const std::int64_t begin = batch.source_offsets.back(), length = records_.length(i);
    append_source(records_, i, batch);
    if (length == 0) return;
    Random random(seed);
    const auto one = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(length)));
    const auto count = std::max<std::int64_t>(1, static_cast<std::int64_t>(rate_ * static_cast<double>(length)));
    // Selection sampling (Knuth, volume 2, algorithm 3.4.2 S): `count` positions in ascending order.
    for (std::int64_t t = 0, left = count; t < length && left > 0; ++t) {
      if (count == 1 ? t != one : random.uniform() * static_cast<double>(length - t) >= static_cast<double>(left))
        continue;
      --left;
      std::int32_t& id = batch.source_ids[static_cast<std::size_t>(begin + t)];
      batch.labels.push_back(id);
      batch.rows.push_back(static_cast<std::int32_t>(begin + t));
      const double draw = random.uniform();
      if (draw < 0.8)
        id = mask_;
      else if (draw < 0.9)
        id = static_cast<std::int32_t>(random.below(vocabulary_));
    }
  }

 private:
  double rate_;
  std::int32_t mask_;
  std::uint64_t vocabulary_;
};

class Classification : public Lines {
 public:
  Classification(RecordSet records, std::vector<std::int32_t> classes, const std::string& labels_name,
                 const Configuration& c, std::int64_t max_length)
      : Lines(std::move(records), c.class_tokens, c, max_length), classes_(std::move(classes)), extra_(c.class_tokens) {
    require(records_.records() == static_cast<std::int64_t>(classes_.size()), records_.name(), " has ",
            records_.records(), " records, ", labels_name, " has ", classes_.size(), " labels");
    for (const std::int64_t i : all_) expect_end(records_, i, c);
    for (const std::int32_t c : classes_) fingerprint_ = derive_seed(fingerprint_, static_cast<std::uint64_t>(c));
  }
  std::int64_t tokens(std::int64_t i) const override { return records_.length(i) + extra_; }
  void append(std::int64_t i, std::uint64_t, ExampleBatch& batch) const override {
    append_source(records_, i, batch);
    batch.labels.push_back(classes_[static_cast<std::size_t>(i)]);
  }

 private:
  std::vector<std::int32_t> classes_;
  std::int64_t extra_;
};

class Tagging : public Lines {
 public:
  Tagging(RecordSet records, const RecordSet& words, const Labels& labels, const std::string& labels_name,
          const Configuration& c, std::int64_t max_length)
      : Lines(std::move(records), c.class_tokens, c, max_length), extra_(c.class_tokens) {
    const std::string counts = cat(records_.name(), " has ", records_.records(), " records, ");
    require(records_.records() == labels.examples(), counts, labels_name, " has labels of ", labels.examples());
    const bool of_words = words.records() > 0;
    require(!of_words || records_.records() == words.records(), counts, words.name(), " has ", words.records());
    for (std::int64_t i = 0; i < records_.records(); ++i) {
      const std::int64_t length = records_.length(i), first = labels.offsets[static_cast<std::size_t>(i)];
      const std::span classes(labels.classes.data() + first,
                              static_cast<std::size_t>(labels.offsets[static_cast<std::size_t>(i) + 1] - first));
      std::vector<std::int32_t> positions(static_cast<std::size_t>(length));
      std::iota(positions.begin(), positions.end(), 0);
      if (of_words) {
        require(words.width() == 0 && words.length(i) == length, words.name(), ": the word numbers of sequence ", i,
                " are not one for each of ", length, " ids of ", records_.name());
        positions = first_positions({words.ids(i), static_cast<std::size_t>(length)});
      }
      if (positions.size() != classes.size())
        throw Error(cat(records_.where(i), ": has ", positions.size(), of_words ? " words, " : " positions, ",
                        classes.size(), " labels in ", labels_name));
      for (std::size_t k = 0; k < positions.size(); ++k)
        if (positions[k] >= 0 && classes[k] >= 0) answers_.push_back({positions[k], classes[k]});
      ends_.push_back(std::ssize(answers_));
      fingerprint_ = mix64(fingerprint_ ^ static_cast<std::uint64_t>(ends_.back()));
    }
    for (const Answer& a : answers_)
      fingerprint_ =
          mix64(fingerprint_ ^ static_cast<std::uint64_t>(a.position) << 32 ^ static_cast<std::uint64_t>(a.label));
  }
  std::int64_t tokens(std::int64_t i) const override { return records_.length(i) + extra_; }
  void append(std::int64_t i, std::uint64_t, ExampleBatch& batch) const override {
    // Where the sequence begins among the encoder's rows, after its own class tokens.
    const std::int64_t begin = batch.source_offsets.back() + extra_ * (batch.sequences() + 1);
    append_source(records_, i, batch);
    for (std::int64_t a = i > 0 ? ends_[static_cast<std::size_t>(i) - 1] : 0; a < ends_[static_cast<std::size_t>(i)];
         ++a) {
      const Answer& answer = answers_[static_cast<std::size_t>(a)];
      batch.labels.push_back(answer.label);
      batch.rows.push_back(static_cast<std::int32_t>(begin) + answer.position);
    }
  }

 private:
  struct Answer {
    std::int32_t position, label;
  };
  std::vector<Answer> answers_;     ///< Of all records, one after another.
  std::vector<std::int64_t> ends_;  ///< Of each record's.
  std::int64_t extra_;
};

class Spans : public Lines {
 public:
  Spans(RecordSet records, const std::vector<std::int32_t>& spans, const MappedRecords* offsets,
        const std::string& labels_name, const Configuration& c, std::int64_t max_length)
      : Lines(std::move(records), 0, c, max_length) {
    const auto count = static_cast<std::int64_t>(spans.size()) / 2;
    require(records_.records() == count, records_.name(), " has ", records_.records(), " records, ", labels_name,
            " has ", count, " spans");
    require(!offsets || offsets->records() == count, records_.name(), " has ", count, " records, ",
            offsets ? offsets->name() : "", " has ", offsets ? offsets->records() : 0);
    for (std::int64_t i = 0; i < count; ++i) {
      std::int32_t first = spans[static_cast<std::size_t>(2 * i)], last = spans[static_cast<std::size_t>(2 * i) + 1];
      const std::int64_t length = records_.length(i);
      const auto is_span = [&](bool good, const char* of) {
        if (!good)
          throw Error(
              cat(records_.where(i), ": ", first, " to ", last, " in ", labels_name, " is no span of its ", of));
      };
      if (offsets) {
        is_span(0 <= first && first <= last, "second text");
        require(offsets->width() == 3 && offsets->length(i) == length, offsets->where(i), ": (", length,
                ", 3) expected beside ", records_.where(i));
        const TextSpan span = span_of_characters({offsets->ids(i), static_cast<std::size_t>(3 * length)}, first, last);
        first = span.first;
        last = span.last;
      } else {
        is_span(0 <= first && first <= last && (last < length || (length == 0 && last == 0)), "positions");
      }
      for (const std::int32_t position : {first, last}) {
        spans_.push_back(length > 0 ? position : -1);
        fingerprint_ = mix64(fingerprint_ ^ static_cast<std::uint64_t>(position));
      }
    }
  }
  std::int64_t tokens(std::int64_t i) const override { return records_.length(i); }
  void append(std::int64_t i, std::uint64_t, ExampleBatch& batch) const override {
    append_source(records_, i, batch);
    batch.spans = true;
    const auto at = spans_.begin() + 2 * i;
    batch.labels.insert(batch.labels.end(), at, at + 2);
  }

 private:
  std::vector<std::int32_t> spans_;
};

class ComparedPairs : public Pairs {
 public:
  ComparedPairs(RecordSet source, RecordSet target, const Configuration& sources_reader,
                const Configuration& targets_reader, std::int64_t max_length)
      : Pairs(std::move(source), std::move(target), max_length,
              [&](const RecordSet& sources, const RecordSet& targets, std::int64_t i) {
                expect_room(sources, i, sources_reader.class_tokens, sources_reader, false);
                expect_room(targets, i, 0, targets_reader, false);
                expect_end(sources, i, sources_reader);
                expect_end(targets, i, targets_reader);
              }),
        extra_(sources_reader.class_tokens) {
    fingerprint_ = derive_seed(fingerprint_, 0x7061697273);  // "pairs"
  }
  std::int64_t tokens(std::int64_t i) const override { return source_.length(i) + extra_ + target_.length(i); }
  void append(std::int64_t i, std::uint64_t, ExampleBatch& batch) const override {
    batch.pairs = true;
    append_source(source_, i, batch);
    append_ids(target_, i, batch.target_ids);
    batch.target_offsets.push_back(static_cast<std::int64_t>(batch.target_ids.size()));
  }

 private:
  std::int64_t extra_;
};

/// Cuts an order into batches.
EpochPlan cut(const Examples& examples, std::vector<std::int64_t> order, std::int64_t tokens) {
  EpochPlan plan;
  plan.order = std::move(order);
  std::int64_t total = 0;
  for (std::size_t i = 0; i < plan.order.size(); ++i) {
    const std::int64_t count = examples.tokens(plan.order[i]);
    if (total > 0 && total + count > tokens) {
      plan.ends.push_back(static_cast<std::int64_t>(i));
      total = 0;
    }
    total += count;
  }
  plan.ends.push_back(static_cast<std::int64_t>(plan.order.size()));
  return plan;
}

void shuffle(std::vector<std::int64_t>& order, Random& random) {  // Fisher-Yates
  for (std::size_t i = order.size(); i-- > 1;)
    std::swap(order[i], order[static_cast<std::size_t>(random.below(static_cast<std::uint64_t>(i + 1)))]);
}

/// The batches of a plan in a random order.
EpochPlan shuffled_batches(const EpochPlan& plan, Random& random) {
  std::vector<std::int64_t> batches(plan.ends.size());
  for (std::size_t b = 0; b < batches.size(); ++b) batches[b] = static_cast<std::int64_t>(b);
  shuffle(batches, random);
  EpochPlan mixed;
  for (const std::int64_t b : batches) {
    mixed.order.insert(mixed.order.end(), plan.order.begin() + plan.begin(b), plan.order.begin() + plan.end(b));
    mixed.ends.push_back(static_cast<std::int64_t>(mixed.order.size()));
  }
  return mixed;
}

}  // namespace

std::unique_ptr<Examples> translation_examples(RecordSet source, RecordSet target, const Configuration& configuration,
                                               std::int64_t max_length) {
  return std::make_unique<Translation>(std::move(source), std::move(target), configuration, max_length);
}

std::unique_ptr<Examples> language_examples(RecordSet records, const Configuration& configuration, std::int64_t context,
                                            std::int64_t max_length) {
  if (context > 0) return std::make_unique<LanguageWindows>(std::move(records), configuration, context);
  return std::make_unique<LanguageLines>(std::move(records), configuration, max_length);
}

std::unique_ptr<Examples> masked_examples(RecordSet records, const Configuration& configuration, double rate,
                                          std::int64_t max_length) {
  return std::make_unique<Masked>(std::move(records), configuration, rate, max_length);
}

std::unique_ptr<Examples> classification_examples(RecordSet records, std::vector<std::int32_t> classes,
                                                  const std::string& labels_name, const Configuration& configuration,
                                                  std::int64_t max_length) {
  return std::make_unique<Classification>(std::move(records), std::move(classes), labels_name, configuration,
                                          max_length);
}

std::unique_ptr<Examples> tagging_examples(RecordSet records, const RecordSet& words, const Labels& labels,
                                           const std::string& labels_name, const Configuration& configuration,
                                           std::int64_t max_length) {
  return std::make_unique<Tagging>(std::move(records), words, labels, labels_name, configuration, max_length);
}

std::unique_ptr<Examples> span_examples(RecordSet records, const std::vector<std::int32_t>& spans,
                                        const MappedRecords* offsets, const std::string& labels_name,
                                        const Configuration& configuration, std::int64_t max_length) {
  return std::make_unique<Spans>(std::move(records), spans, offsets, labels_name, configuration, max_length);
}

std::unique_ptr<Examples> pair_examples(RecordSet source, RecordSet target, const Configuration& sources,
                                        const Configuration& targets, std::int64_t max_length) {
  return std::make_unique<ComparedPairs>(std::move(source), std::move(target), sources, targets, max_length);
}

EpochPlan plan_epoch(const Examples& examples, const BatchSettings& settings, std::uint64_t seed, std::int64_t epoch) {
  const std::uint64_t order_seed =
      derive_seed(derive_seed(seed, 0x6f72646572), static_cast<std::uint64_t>(epoch));  // "order"
  std::vector<std::int64_t> order = examples.epoch(derive_seed(order_seed, 1));
  Random random(order_seed);
  shuffle(order, random);
  if (settings.sort_window == 0) return cut(examples, std::move(order), settings.tokens);
  for (std::size_t at = 0; at < order.size(); at += static_cast<std::size_t>(settings.sort_window)) {
    const auto first = order.begin() + static_cast<std::ptrdiff_t>(at);
    const auto last = order.begin() + static_cast<std::ptrdiff_t>(
                                          std::min(order.size(), at + static_cast<std::size_t>(settings.sort_window)));
    std::stable_sort(first, last,
                     [&](std::int64_t a, std::int64_t b) { return examples.tokens(a) < examples.tokens(b); });
  }
  return shuffled_batches(cut(examples, std::move(order), settings.tokens), random);
}

EpochPlan plan_validation(const Examples& examples, std::int64_t tokens) {
  return cut(examples, examples.all(), tokens);
}

std::int64_t batch_tokens(const Examples& examples, const EpochPlan& plan, std::int64_t batch) {
  std::int64_t total = 0;
  for (std::int64_t i = plan.begin(batch); i < plan.end(batch); ++i)
    total += examples.tokens(plan.order[static_cast<std::size_t>(i)]);
  return total;
}

std::vector<std::int64_t> cut_batch(const Examples& examples, const EpochPlan& plan, std::int64_t batch,
                                    std::int64_t parts) {
  const std::int64_t total = std::max<std::int64_t>(batch_tokens(examples, plan, batch), 1);
  std::vector<std::int64_t> cuts{plan.begin(batch)};
  std::int64_t before = 0;
  for (std::int64_t i = plan.begin(batch); i < plan.end(batch); ++i) {
    // An example belongs to the part that its middle falls into.
    const std::int64_t tokens = examples.tokens(plan.order[static_cast<std::size_t>(i)]);
    const std::int64_t owner = std::min((2 * before + tokens) * parts / (2 * total), parts - 1);
    while (static_cast<std::int64_t>(cuts.size()) <= owner) cuts.push_back(i);
    before += tokens;
  }
  cuts.resize(static_cast<std::size_t>(parts) + 1, plan.end(batch));
  return cuts;
}

}  // namespace pipeformer
