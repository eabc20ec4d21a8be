#include "cli/tokenizing_options.hpp"

#include "core/error.hpp"

namespace pipeformer {

std::vector<Option> tokenizing_options() {
  return {
      flag("decode", "turn records of ids into lines of text"),
      flag("pieces", "write lines of pieces, separated by spaces, instead of ids or text"),
      flag("special", "put the control ids that the tokenizer has around a text, as [CLS] and [SEP]", true),
      text("prompt-template", "FILE",
           "put each text into the text of FILE, where it says {prompt}; control ids are those of FILE: no --special"),
      flag("keep-special", "--decode: show control ids as their pieces, not as nothing"),
      text("replace-unknown", "TEXTS",
           "--decode: ids below 0 are words of the lines of TEXTS (decode --replace-unknown), encoded as the options "
           "say"),
      flag("phrases", "each line holds phrases between tabs: write their ids, with -1 between two phrases"),
      text("pair", "FILE", "second texts: each line is encoded together with the same line of FILE"),
      text("types", "FILE", "also write token types (T,): 0 for ids of the first text, 1 for the second's"),
      integer("max-tokens", "N", "the most ids a record may have, control ids counted", "", 1),
      text("words", "FILE", "also write word numbers (T,): of what white space separates, from 0; -1 for none"),
      text("offsets", "FILE",
           "also write where ids stand (T, 3): in which text (0, 1, or -1: a control id), from which character, and "
           "before which"),
      choice("overflow", "error|truncate|split", "--max-tokens: what to do with a line of more", "error"),
      integer("stride", "N", "--overflow split: N ids of a record's last text are in the next record too", "0", 0),
      flag("vocabulary", "list the vocabulary: id, piece and score, separated by tabs"),
      flag("begin", "put the begin id before each record"),
      flag("end", "put the end id after each record"),
      flag("document",
           "the whole input is one record, newlines too: as ids of their own, or as the end id (bpe, unigram)"),
      number("sample", "ALPHA", "draw a segmentation of each line (bpe: 0 to 1; unigram)", "", 0, 1e6),
      integer("nbest", "N", "--sample: draw among the N best segmentations, not all (unigram)", "", 1, 512),
      choice("invalid-utf8", "error|replace", "what to do with text that is not UTF-8: stop, or put in U+FFFD",
             "error"),
      flag("train", "train a tokenizer on the lines of all files and write it to --output"),
      choice("type", "bpe|unigram|byte-bpe|wordpiece|char|byte", "the tokenizer to train", "bpe"),
      integer("vocab-size", "N", "number of ids to train (not char and byte)", "8000", 4),
      number("character-coverage", "P", "share of the text's characters that get an id (bpe, unigram)", "1", 0, 1),
      flag("byte-fallback", "train so that unknown characters are spelled as bytes (bpe, unigram)"),
  };
}

void check_tokenizing_options(const Args& args) {
  const bool train = args.flag("train"), decode = args.flag("decode");
  args.allow_only(train, "--train", {"type", "vocab-size", "character-coverage", "byte-fallback"});
  args.allow_only(!train, "a trained tokenizer: no --train",
                  {"model",   "decode",       "pieces",   "begin",        "end",        "document",        "sample",
                   "nbest",   "invalid-utf8", "special",  "keep-special", "pair",       "types",           "words",
                   "offsets", "max-tokens",   "overflow", "stride",       "vocabulary", "prompt-template", "phrases"});
  args.allow_only(!decode, "text to encode: no --decode",
                  {"sample", "nbest", "pair", "types", "words", "offsets", "stride", "phrases"});
  args.allow_only(!decode || args.has("replace-unknown"), "text to encode: no --decode, or --replace-unknown",
                  {"begin", "end", "invalid-utf8", "max-tokens", "overflow", "prompt-template"});
  args.allow_only(!args.flag("phrases"), "whole lines: no --phrases",
                  {"pieces", "begin", "end", "document", "sample", "nbest", "special", "pair", "types", "words",
                   "offsets", "max-tokens", "overflow", "stride", "prompt-template"});
  args.allow_only(!args.has("sample") && !args.has("prompt-template"), "no --sample and no --prompt-template",
                  {"words", "offsets"});
  args.allow_only(decode, "--decode", {"keep-special", "replace-unknown"});
  if (decode && args.text("overflow") == "split")
    throw UsageError("--replace-unknown needs a record for each line: no --overflow split");
  args.allow_only(!args.has("replace-unknown"), "no --replace-unknown", {"keep-special", "pieces", "document"});
  args.allow_only(!args.flag("document"), "lines: no --document", {"pair", "words", "offsets", "overflow"});
  if (!train && args.inputs().size() > 1)
    throw UsageError(cat("unexpected argument '", args.inputs()[1], "': only --train reads several files"));
}

namespace {

std::optional<SubwordSampling> sampling_from(const Args& args, const Tokenizer& tokenizer) {
  args.allow_only(args.has("sample"), "--sample", {"nbest"});
  if (!args.has("sample")) return std::nullopt;
  const auto sampler = tokenizer.sampler();
  if (sampler == Tokenizer::Sampler::none) throw UsageError("--sample needs a bpe or unigram tokenizer");
  args.allow_only(sampler == Tokenizer::Sampler::segmentations, "a unigram tokenizer", {"nbest"});
  if (sampler == Tokenizer::Sampler::merges && args.number("sample") > 1)
    throw UsageError("--sample is a probability for a bpe tokenizer, at most 1");
  return SubwordSampling{args.number("sample"), args.has("nbest") ? args.integer("nbest") : -1, args.seed()};
}

}  // namespace

LineEncoding line_encoding(const Args& args, const Tokenizer& tokenizer) {
  args.allow_only(args.has("max-tokens"), "--max-tokens", {"overflow"});
  LineEncoding how{args.flag("begin"), args.flag("end"), args.flag("special")};
  if (args.has("prompt-template") && !args.given("special")) how.control_ids = false;
  if (args.has("max-tokens")) how.most_tokens = args.integer("max-tokens");
  if (args.text("overflow") == "truncate") how.overflow = Overflow::truncate;
  if (args.text("overflow") == "split") how.overflow = Overflow::split;
  args.allow_only(how.overflow == Overflow::split, "--overflow split", {"stride"});
  how.stride = args.integer("stride");
  how.places = args.has("words") || args.has("offsets");
  how.sampling = sampling_from(args, tokenizer);
  return how;
}

InvalidUtf8 invalid_utf8(const Args& args, const Tokenizer& tokenizer) {
  if (args.text("invalid-utf8") == "replace") return InvalidUtf8::replace;
  return tokenizer.takes_any_bytes() ? InvalidUtf8::keep : InvalidUtf8::error;
}

TokenizerTraining tokenizer_training(const Args& args) {
  TokenizerTraining settings;
  settings.type = args.text("type");
  settings.vocabulary_size = static_cast<std::int32_t>(args.integer("vocab-size"));
  settings.character_coverage = args.number("character-coverage");
  settings.byte_fallback = args.flag("byte-fallback");
  return settings;
}

}  // namespace pipeformer
