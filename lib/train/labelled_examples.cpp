/// Examples with labels: classes of sequences and of positions, spans, values.
#include <algorithm>
#include <bit>
#include <numeric>
#include <span>

#include "core/text_spans.hpp"
#include "core/words.hpp"
#include "train/example_records.hpp"

namespace pipeformer {
namespace {

class ClassificationExamples : public Lines {
 public:
  ClassificationExamples(RecordSet records, std::vector<std::int32_t> classes, const std::string& labels_name,
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

class Valued : public Lines {
 public:
  Valued(RecordSet records, const Labels& labels, const std::string& labels_name, const Configuration& c,
         std::int64_t max_length)
      : Lines(std::move(records), c.class_tokens, c, max_length),
        values_(labels.values),
        width_(labels.width),
        extra_(c.class_tokens) {
    require(records_.records() == labels.examples(), records_.name(), " has ", records_.records(), " records, ",
            labels_name, " has values of ", labels.examples());
    for (const std::int64_t i : all_) expect_end(records_, i, c);
    for (const float value : values_) fingerprint_ = mix64(fingerprint_ ^ std::bit_cast<std::uint32_t>(value));
  }
  std::int64_t tokens(std::int64_t i) const override { return records_.length(i) + extra_; }
  void append(std::int64_t i, std::uint64_t, ExampleBatch& batch) const override {
    append_source(records_, i, batch);
    const auto at = values_.begin() + i * width_;
    batch.values.insert(batch.values.end(), at, at + width_);
  }

 private:
  std::vector<float> values_;
  std::int64_t width_, extra_;
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

}  // namespace

std::unique_ptr<Examples> classification_examples(RecordSet records, std::vector<std::int32_t> classes,
                                                  const std::string& labels_name, const Configuration& configuration,
                                                  std::int64_t max_length) {
  return std::make_unique<ClassificationExamples>(std::move(records), std::move(classes), labels_name, configuration,
                                                  max_length);
}

std::unique_ptr<Examples> valued_examples(RecordSet records, const Labels& labels, const std::string& labels_name,
                                          const Configuration& configuration, std::int64_t max_length) {
  return std::make_unique<Valued>(std::move(records), labels, labels_name, configuration, max_length);
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

}  // namespace pipeformer
