#include "cli/decoding.hpp"

#include <chrono>

#include "cli/layer_options.hpp"
#include "cli/ranks.hpp"
#include "io/output_file.hpp"
#include "io/relay.hpp"
#include "search/forced.hpp"
#include "text/growing_text.hpp"

namespace pipeformer {

DecodeRun::DecodeRun(const Args& args)
    : args_(args),
      file_(args.model(), weights_asked(args)),
      configuration_(file_.configuration()),
      encoder_(configuration_.has_encoder()),
      beyond_(beyond_context(args, configuration_)),
      probing_(args, [&](ParameterSource& source) { Transformer(source, configuration_); },
               {.look = args.has("alignment") || args.has("alternatives") || args.flag("replace-unknown")}) {
  if (!file_.group().empty()) throw UsageError(cat("--model takes the whole model, not its part ", file_.group()));
  require(configuration_.has_decoder(), file_.name(), ": a model of kind ", name_of(configuration_.kind),
          " has no decoder: ", configuration_.head == Head::classes ? "classify" : "encode", " reads it");
  if (listed()) return;
  const std::vector<std::string> names = args.list("model");
  others_.emplace(file_, std::span(names).subspan(1), weights_asked(args));
  file_.list_taps(probing_.list());
  expect_effects();
  input_.emplace(args.input(), encoder_ ? Accept::either : Accept::ids);
  if (!args.flag("stream")) writer_ = RecordWriter::open(args.output(), args.output_options());
}

void DecodeRun::expect_effects() const {
  const bool nothing = !args_.has("target") && args_.has("max-length") && args_.integer("max-length") == 0;
  const bool hidden = args_.has("target") && args_.text("give") == "hidden";
  const auto of_head = [](const std::string& name) {
    return name == "logits" || name.find("/head/") != std::string::npos;
  };
  // With --max-length 0 only a tap makes that anything is computed.
  const std::vector<std::string> outputs =
      nothing ? std::vector<std::string>() : std::vector<std::string>{hidden ? "" : "logits"};
  probing_.expect_effects(outputs, [&](const std::string& from, const std::string& to) {
    return !of_head(from) || (of_head(to) && (to == "logits" || from != "logits"));
  });
}

void DecodeRun::check(const BatchStream& sources, const BatchStream* ids, std::int64_t room) {
  std::call_once(loaded_, [&] {
    model_.emplace(file_, configuration_, sources.batch.ids ? Transformer::Stacks::all : Transformer::Stacks::decoder);
    others_->load();
  });
  others_->check(sources, ids, room, beyond_);
  sources.expect_width(configuration_.width, "the model's");
  check_ids_of(configuration_, sources, ids, room, beyond_);
}

std::shared_ptr<const Tokenizer> DecodeRun::tokenizer(const std::string& option) const {
  const auto bytes = file_.tokenizer();
  require(bytes.has_value(), file_.name(), ": holds no tokenizer, which --", option, " needs");
  return Tokenizer::parse(*bytes, file_.name());
}

GenerateSettings DecodeRun::settings() {
  GenerateSettings settings = generate_settings(args_, configuration_);
  settings.probe = probing_.changes();
  if (args_.given("stop")) settings.search.stop = &stop_.emplace(tokenizer("stop"), args_.list("stop"));
  return settings;
}

void DecodeRun::close(std::int64_t sequences) {
  probing_.close(sequences);
  if (writer_) writer_->close();
}

void DecodeRun::force() {
  BatchStream target(args_.text("target"), Accept::ids);
  const Batches batches = probing_.writes() ? Batches::one_by_one : Batches::side_by_side;
  close(for_batches(args_, {&*input_, &target}, batches, [&](BatchTurn& turn) {
    const BatchStream &sources = turn[0], &targets = turn[1];
    check(sources, &targets, 1);
    turn.ctx.probe = probing_.probe();
    turn.ctx.places.first = turn.first_sequence;
    turn.ctx.kept = kept_type(args_);
    return file_.explaining([&] {
      return force_targets(turn.ctx, *model_, sources.batch, targets.batch, give_from_name(args_.text("give")),
                           writer_.get());
    });
  }));
}

namespace {

/// What is read beside the records that outputs are generated for.
struct BesideInputs {
  BesideInputs(const Args& args, std::int64_t vocabulary) {
    if (const auto path = optional_text(args, "prefix")) prefix.emplace(*path, Accept::ids);
    if (const auto path = optional_text(args, "ban")) ban.emplace(*path, vocabulary);
    if (const auto path = optional_text(args, "require")) require.emplace(*path, vocabulary);
  }
  std::vector<BatchStream*> with(BatchStream& input) {
    std::vector<BatchStream*> streams{&input};
    if (prefix) streams.push_back(&*prefix);
    return streams;
  }
  std::vector<PhraseStream*> phrases() {
    std::vector<PhraseStream*> streams;
    for (auto* one : {&ban, &require})
      if (*one) streams.push_back(&**one);
    return streams;
  }
  /// Those of a batch, of streams in the order of with() and phrases().
  Beside of(const BatchTurn& turn) const {
    return {prefix ? &turn[1].batch : nullptr, ban ? &turn.phrases.front() : nullptr,
            require ? &turn.phrases.back() : nullptr};
  }
  /// After the last record, where all were read.
  void finish(const Args& args, const BatchStream& input) {
    if (args.has("take")) return;
    for (PhraseStream* stream : phrases()) stream->finish(input.reader->name());
  }

  std::optional<BatchStream> prefix;
  std::optional<PhraseStream> ban, require;
};

/// Positions that are sorted by length together: fewer where several ranks are to get some.
std::int64_t window(const Args& args) {
  const std::int64_t asked = args.integer("window"), batches = 2 * args.integer("batch-rows");
  return dealing_ranks() ? std::min(asked, batches) : asked;
}

}  // namespace

void DecodeRun::generate() {
  GenerateSettings settings = this->settings();
  BesideInputs beside(args_, configuration_.target_vocabulary);
  const auto view = output_view(args_, configuration_, probing_);
  HypothesisFiles files(args_, writer_.get());
  if (args_.flag("replace-unknown")) files.name_copied(tokenizer("replace-unknown")->unknown_id(), file_.name());
  Progress progress(args_, "", 0, "sentences");
  const auto start = std::chrono::steady_clock::now();
  RelayedCount sentences, tokens;
  const Batches batches = probing_.writes() ? Batches::one_by_one : Batches::whole_team;
  const auto body = [&](BatchTurn& turn) -> BatchOutput {
    const BatchStream& input = turn[0];
    check(input, beside.prefix ? &turn[1] : nullptr, settings.max_length == 0 ? 1 : 2);
    settings.others = others_->models();
    std::int64_t ready = 0;
    auto outputs = file_.explaining([&] {
      return generate_window(*model_, input, beside.of(turn), settings, [&](std::int64_t n) {
        if (relay() != Relay::away) progress.update(sentences.value() + (ready += n));
      });
    });
    std::optional<OutputProbe> look;
    if (view) look.emplace(*view);
    if (look || probing_.writes())
      force_outputs(turn.ctx.workspace, *model_, input.batch, outputs, settings, look ? *look : *probing_.probe(),
                    input.batch.first_record);
    auto seen = look ? look->take() : std::vector<OutputProbe::Seen>{};
    return [&, outputs = std::move(outputs), seen = std::move(seen),
            forced = beside.prefix ? &turn[1].batch
                     : encoder_    ? nullptr
                                   : &input.batch] {
      tokens.add(write_hypotheses(outputs, forced, seen, files.writers()));
      sentences.add(input.batch.records());
    };
  };
  const std::int64_t sequences =
      for_batches(args_, beside.with(*input_), batches, body, {window(args_), beside.phrases(), false});
  beside.finish(args_, *input_);
  files.close();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  progress.finish(rate_summary(sentences.value(), tokens.value(), seconds.count()));
  close(sequences);
}

void DecodeRun::stream() {
  GenerateSettings settings = this->settings();
  const auto tokenizer = this->tokenizer("stream");
  BesideInputs beside(args_, configuration_.target_vocabulary);
  OutputFile output(args_.output(), Content::text);
  std::string lines;  // of the records before
  const std::int64_t sequences =
      for_batches(args_, beside.with(*input_), Batches::one_by_one,
                  [&](BatchTurn& turn) -> BatchOutput {
                    const BatchStream& input = turn[0];
                    if (!lines.empty()) throw Error(lines);
                    check(input, beside.prefix ? &turn[1] : nullptr, 2);
                    settings.others = others_->models();
                    GrowingText text(*tokenizer);
                    const auto show = [&](const std::vector<std::int32_t>& ids, bool last) {
                      const std::string more = text.next(ids, last);
                      if (more.find('\n') != std::string::npos)
                        lines = cat(input.where_record(0), ": its text has several lines, and more records follow");
                      output.write(more);
                      output.flush();
                    };
                    settings.search.grown = [&](const std::vector<std::int32_t>& ids) { show(ids, false); };
                    const auto found = file_.explaining([&] {
                      return generate_window(*model_, input, beside.of(turn), settings, [](std::int64_t) {});
                    });
                    show(found.front().front().ids, true);
                    return [&] {
                      output.write("\n");
                      output.flush();
                    };
                  },
                  {1, beside.phrases(), true});
  beside.finish(args_, *input_);
  output.close();
  close(sequences);
}

}  // namespace pipeformer
