#include "text/sentencepiece.hpp"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

#include "core/error.hpp"
#include "core/random.hpp"
#include "text/sentencepiece_model.hpp"

namespace pipeformer {
namespace {

namespace sp = sentencepiece;

constexpr std::uint64_t sampling_stream = 0x73616d706c65;  // "sample"

class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(std::string bytes, const std::string& name) : bytes_(std::move(bytes)), name_(name) {
    read_sentencepiece_model(bytes_, name);  // The library trusts what it loads.
    const auto status = processor_.LoadFromSerializedProto(bytes_);
    require(status.ok() && processor_.GetPieceSize() > 0, name, ": not a tokenizer model");
  }

  std::vector<std::int32_t> encode(std::string_view line) const override {
    thread_local sp::ImmutableSentencePieceText pieces;  // keeps its memory from line to line
    check(processor_.Encode(line, pieces.mutable_proto()));
    std::vector<std::int32_t> ids(pieces.pieces_size());
    for (std::size_t i = 0; i < ids.size(); ++i)
      ids[i] = static_cast<std::int32_t>(pieces.pieces(static_cast<int>(i)).id());
    return ids;
  }

  std::vector<std::int32_t> encode_places(std::string_view line, std::vector<Place>& places) const override {
    thread_local sp::ImmutableSentencePieceText pieces;
    check(processor_.Encode(line, pieces.mutable_proto()));
    std::vector<std::int32_t> ids;
    for (int i = 0; i < static_cast<int>(pieces.pieces_size()); ++i) {
      ids.push_back(static_cast<std::int32_t>(pieces.pieces(i).id()));
      places.push_back({pieces.pieces(i).begin(), pieces.pieces(i).end()});
    }
    return ids;
  }

  Sampler sampler() const override {
    // The library does not tell its model's type, but answers for what it can do.
    std::vector<int> ids;
    std::vector<std::vector<int>> nbest;
    if (processor_.NBestEncode(" ", 1, &nbest).ok()) return Sampler::segmentations;
    return processor_.SampleEncode(" ", 1, 0.0f, &ids).ok() ? Sampler::merges : Sampler::none;
  }

  std::vector<std::int32_t> sample(std::string_view line, const SubwordSampling& sampling,
                                   std::int64_t number) const override {
    const auto nbest = static_cast<int>(sampling.nbest);
    const auto alpha = static_cast<float>(sampling.alpha);
    const std::uint64_t seed =
        derive_seed(derive_seed(sampling.seed, sampling_stream), static_cast<std::uint64_t>(number));
    std::vector<int> ids;
    sp::util::Status status;
    {
      // A thread's generator takes the library's one seed when the thread first draws, and never again (0.1.97 to
      // 0.2.0): so each line gets a thread of its own, one after another.
      static std::mutex one_seed;
      const std::scoped_lock lock(one_seed);
      sp::SetRandomGeneratorSeed(static_cast<unsigned int>(seed >> 33));
      std::thread([&] { status = processor_.SampleEncode(line, nbest, alpha, &ids); }).join();
    }
    check(status);
    return ids;
  }

  std::string decode(const std::vector<std::int32_t>& ids) const override {
    for (const std::int32_t id : ids) check_id(id);
    std::string text;
    check(processor_.Decode(ids, &text));
    return text;
  }

  std::string piece(std::int32_t id) const override {
    check_id(id);
    return processor_.IdToPiece(id);
  }

  std::int32_t vocabulary_size() const override { return processor_.GetPieceSize(); }
  std::int32_t begin_id() const override { return processor_.bos_id(); }
  std::int32_t end_id() const override { return processor_.eos_id(); }
  std::int32_t unknown_id() const override { return processor_.unk_id(); }
  double score(std::int32_t id) const override {
    check_id(id);
    return processor_.GetScore(id);
  }
  NamedIds named_ids() const override {
    NamedIds ids = Tokenizer::named_ids();
    if (processor_.pad_id() >= 0) ids.padding = processor_.pad_id();
    return ids;
  }
  bool exact() const override { return false; }
  std::string bytes() const override { return bytes_; }

 private:
  void check(const sp::util::Status& status) const { require(status.ok(), name_, ": ", status.message()); }
  void check_id(std::int32_t id) const {
    require(id >= 0 && id < vocabulary_size(), "id ", id, " is outside the vocabulary of ", vocabulary_size());
  }

  std::string bytes_;
  std::string name_;
  sp::SentencePieceProcessor processor_;
};

/// Hands lines to SentencePiece. An exception must not cross its code: it is kept, and thrown again when training has
/// returned.
class Lines final : public sp::SentenceIterator {
 public:
  explicit Lines(const std::function<bool(std::string&)>& next_line) : next_line_(next_line) { advance(); }
  bool done() const override { return done_; }
  void Next() override { advance(); }
  const std::string& value() const override { return line_; }
  sp::util::Status status() const override {
    return failure_ ? sp::util::Status(sp::util::StatusCode::kDataLoss, "unreadable corpus") : sp::util::Status();
  }
  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void advance() {
    try {
      done_ = !next_line_(line_);
    } catch (...) {
      failure_ = std::current_exception();
      done_ = true;
    }
  }

  const std::function<bool(std::string&)>& next_line_;
  std::string line_;
  bool done_ = false;
  std::exception_ptr failure_;
};

/// The whole number after `words` in a message, or -1.
long number_after(const std::string& message, const std::string& words) {
  const std::size_t at = message.find(words);
  return at == std::string::npos ? -1 : std::strtol(message.c_str() + at + words.size(), nullptr, 10);
}

/// SentencePiece's complaints, which name its source lines and its own options, in terms of ours.
std::string explain(const std::string& message, const TokenizerTraining& settings) {
  if (const long most = number_after(message, "set it to a value <= "); most >= 0) {
    return cat("vocabulary size ", settings.vocabulary_size, " is too large for this corpus, the largest possible is ",
               most);
  }
  if (message.find("smaller than required_chars") != std::string::npos) {
    return cat("vocabulary size ", settings.vocabulary_size, " is too small for this corpus, the smallest possible is ",
               number_after(message, " vs "), ", or less with a lower character coverage");
  }
  const std::size_t condition = message.find("] ");
  const bool explained = condition != std::string::npos && condition + 2 < message.size();
  return "training failed: " + (explained ? message.substr(condition + 2) : message);
}

}  // namespace

std::unique_ptr<Tokenizer> parse_sentencepiece(std::string bytes, const std::string& name) {
  return std::make_unique<SentencePieceTokenizer>(std::move(bytes), name);
}

std::string train_sentencepiece(const std::function<bool(std::string&)>& next_line, const TokenizerTraining& settings) {
  const std::unordered_map<std::string, std::string> arguments{
      {"model_type", settings.type},
      {"vocab_size", std::to_string(settings.vocabulary_size)},
      {"character_coverage", cat(settings.character_coverage)},
      {"byte_fallback", settings.byte_fallback ? "true" : "false"},
      // A unigram model depends on this (expected counts are summed per thread), and every model records it.
      {"num_threads", "16"},
      {"max_sentence_length", "1073741824"},  // Its default silently leaves out lines of more than 4192 bytes.
      {"minloglevel", "3"},
  };
  Lines lines(next_line);
  std::string model;
  const auto status = sp::SentencePieceTrainer::Train(arguments, &lines, &model);
  lines.rethrow();
  if (!status.ok()) throw Error(explain(status.message(), settings));
  return model;
}

}  // namespace pipeformer
