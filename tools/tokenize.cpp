// tokenize: lines of text to records of ids, and back.
#include <optional>
#include <utility>

#include "cli/tokenizing.hpp"
#include "cli/tokenizing_options.hpp"
#include "io/output_file.hpp"
#include "text/prompt_template.hpp"

using namespace pipeformer;

namespace {

const ToolSpec spec{
    .name = "tokenize",
    .summary = "lines of text to records of ids, and back",
    .description =
        "Reads lines of UTF-8 text and writes one record of ids (T,) i4 per line; with --decode the reverse. An empty "
        "line is an empty record. Trains a tokenizer with --train.\n\n"
        "Tokenizers are SentencePiece models (bpe, unigram), tokenizer.json files of Hugging Face models or a "
        "directory "
        "with their tokenizer files (all made elsewhere load as they are), or our own char "
        "(one id per code point) and byte (one id per byte), whose ids are exact: what is encoded is decoded to the "
        "same bytes. In trained tokenizers id 0 is unknown, 1 begin, 2 end. A Transformer model file holds its "
        "tokenizer and will do for -m.\n\n"
        "With --sample, one of a line's many segmentations is drawn, which makes training data of small corpora go "
        "further. For bpe ALPHA is the probability of leaving out each merge: 0 is the usual result, 1 single "
        "characters "
        "(BPE-dropout, Provilkov et al. 2020: 0.1). For unigram a segmentation is drawn with its probability to the "
        "power "
        "of ALPHA, smoother for a smaller ALPHA, among all or the --nbest best (Kudo 2018). "
        "A line's draw depends on --seed, its text and its number only.\n\n"
        "--prompt-template FILE is for models that were trained on prompts in a frame, such as\n\n"
        "  <|user|>\n  {prompt}<|end|>\n  <|assistant|>\n\n"
        "Each line takes the place of {prompt}; the newline at the end of FILE is no part of the frame. Control tokens "
        "that the tokenizer has (`tokenize --vocabulary`) become their ids, those in FILE as those in the lines.\n\n"
        "--phrases makes what decode's --ban and --require read: of a line of phrases between tabs one record, the ids "
        "of the "
        "phrases "
        "with -1 between two of them.\n\n"
        "--decode --replace-unknown TEXTS puts the words of its source into a translation, where `decode "
        "--replace-unknown` has left their positions: TEXTS has the source line of each record. Letters around such a "
        "place give way to the word, punctuation stays; places with neither space nor punctuation between them make "
        "one word, the first one's. Give the options that the source was tokenized with, --begin, --end, --no-special, "
        "--max-tokens with --overflow truncate, --prompt-template, so that its positions are counted as they were. "
        "White space has the word that follows it; a control id has none, and the unknown id stays as it is.\n\n"
        "--words and --offsets say where each id comes from: the word of the line, for `train --task tagging` and "
        "`tag`, and the characters.\n\n"
        "Source: Kudo and Richardson 2018, SentencePiece.",
    .arguments = "[FILE...]",
    .options = tokenizing_options(),
    .examples =
        {
            {"train a tokenizer of 300 ids and write a text as ids",
             "tokenize --train --vocab-size 300 -o bpe.model text.txt && tokenize -m bpe.model text.txt > ids.npy"},
            {"show the pieces of a text",
             "tokenize --train --type char -o char.model text.txt && "
             "tokenize -m char.model --pieces < text.txt"},
            {"another view of a training text, by dropping one merge in ten",
             "tokenize -m tok.model --sample 0.1 --seed 2 text.en > text.en.2.npy"},
            {"a translation in which unknown words are those of the source",
             "tokenize -m model.h5 text.en | decode -m model.h5 --replace-unknown | "
             "tokenize -m model.h5 --decode --replace-unknown text.en"},
            {"ids, and which word of its line each one belongs to",
             "tokenize -m tok.model --words words.npy text.en -o ids.npy"},
        },
    .see_also = {"embed", "decode", "score"},
    .uses_model = true,
    .text_options = {"decode", "pieces", "train"},
};

void train(const Args& args) {
  Progress progress(args, "tokenizer", 0, "lines");
  TokenizerTraining settings = tokenizer_training(args);
  settings.progress = [&](const std::string& stage, std::int64_t lines) { progress.update(lines, stage); };
  const auto corpus = args.inputs().empty() ? std::vector<std::string>{args.input()} : args.inputs();
  const std::string model = train_tokenizer(corpus, settings);
  OutputFile output(args.output(), Content::binary);
  output.write(model);
  output.close();
  progress.finish(cat(Tokenizer::parse(model, args.output())->vocabulary_size(), " ids"));
}

void encode(const Args& args, const Tokenizer& tokenizer) {
  const InvalidUtf8 policy = invalid_utf8(args, tokenizer);
  const LineEncoding how = line_encoding(args, tokenizer);
  Texts texts(args, policy);
  std::optional<PromptTemplate> prompt;
  if (args.has("prompt-template")) prompt = PromptTemplate::read(args.text("prompt-template"));
  std::optional<TextLines> pair;
  if (args.has("pair")) pair.emplace(args.text("pair"));
  std::unique_ptr<RecordWriter> ids, types, words, offsets;
  std::optional<OutputFile> pieces;
  args.flag("pieces") ? void(pieces.emplace(args.output(), Content::text))
                      : void(ids = RecordWriter::open(args.output(), args.output_options()));
  for (const auto& [name, writer] : {std::pair("types", &types), {"words", &words}, {"offsets", &offsets}})
    if (args.has(name)) *writer = RecordWriter::open(args.text(name), args.output_options());
  std::int64_t count = 0;
  for (std::vector<std::string> lines, seconds; texts.next(lines);) {
    for (std::string& line : lines)
      if (prompt) line = prompt->apply(line);
    if (pair) read_same_lines(*pair, policy, lines.size(), seconds, texts.reader());
    const std::string name = input_name(args.input());
    const EncodedLines encoded = args.flag("document")  ? encode_document(tokenizer, lines.front(), how, name)
                                 : args.flag("phrases") ? encode_phrases(tokenizer, lines, count, name)
                                                        : encode_lines(tokenizer, lines, seconds, how, count, name);
    count += static_cast<std::int64_t>(lines.size());
    if (ids) write_ids(*ids, encoded.ids, encoded.ids.tokens.data());
    if (types) write_ids(*types, encoded.types, encoded.types.tokens.data());
    if (words) write_ids(*words, encoded.ids, encoded.words.data());
    if (offsets) write_offsets(*offsets, encoded);
    if (!pieces) continue;
    for (const std::string& line : decode_batch(tokenizer, encoded.ids, "(pieces)", Decoding::pieces, true))
      pieces->write(line + "\n");
  }
  if (pair) require_end(*pair, texts.reader());
  if (ids) ids->close();
  for (const auto* writer : {&types, &words, &offsets})
    if (*writer) (*writer)->close();
  if (pieces) pieces->close();
}

void list_vocabulary(const Args& args, const Tokenizer& tokenizer) {
  OutputFile output(args.output(), Content::text);
  output.write(vocabulary_table(tokenizer));
  output.close();
}

void body(const Args& args) {
  check_tokenizing_options(args);
  if (args.flag("train")) return train(args);
  const auto tokenizer = Tokenizer::load(args.model());
  if (args.flag("vocabulary")) return list_vocabulary(args, *tokenizer);
  args.flag("decode") ? decode_records(args, *tokenizer) : encode(args, *tokenizer);
}

}  // namespace

int main(int argc, char** argv) {
  return run_tool(spec, argc, argv, body);
}
