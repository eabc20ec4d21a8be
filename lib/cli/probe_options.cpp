#include "cli/probe_options.hpp"

#include <algorithm>
#include <limits>

#include "core/error.hpp"
#include "io/address.hpp"
#include "io/batch_stream.hpp"
#include "io/output_file.hpp"
#include "io/relay.hpp"
#include "models/describe.hpp"

namespace pipeformer {

namespace {

/// The sequences that --skip and --take leave of the input. They are counted where it is a file, which can be read
/// again.
RunPart run_part(const Args& args) {
  RunPart part{.dealt = relay() != Relay::none};
  const auto given = [&](const char* option) { return args.given(option) ? args.integer(option) : -1; };
  const std::int64_t skip = std::max<std::int64_t>(given("skip"), 0), take = given("take");
  part.ends_early = take >= 0;
  if (skip == 0) return part;
  const std::string input = args.given("query") ? args.text("query") : args.input();
  if (input == "-" || is_special_file(split_address(input).file)) {
    part.first = skip;
    part.count = take;
    return part;
  }
  BatchStream stream(input, Accept::either);
  BatchStream* streams[] = {&stream};
  part.first = skip_records(streams, skip);
  part.count = skip_records(streams, take >= 0 ? take : std::numeric_limits<std::int64_t>::max());
  return part;
}

}  // namespace

std::vector<Option> tap_options() {
  return {
      flag("list-taps", "write the name and shape of every intermediate, and do nothing else"),
      list("tap", "GLOB", "write the intermediates whose names match, for example 'encoder/*/weights'"),
      text("tap-file", "FILE.h5", "where --tap writes: a stream a name (without --tap: all of them)"),
  };
}

std::vector<Option> change_options() {
  return {list("patch", "NAME[SEL]=FILE", "put a file's values in the place of an intermediate, or a part of it"),
          list("ablate", "NAME[SEL]", "put zeros in the place of an intermediate"),
          text("ablate-with", "mean:FILE", "--ablate: put the mean of a file's vectors there instead of zeros"),
          list("add", "NAME[SEL]=FILE", "add a file's values to an intermediate; one vector: at all positions")};
}

std::vector<Option> probe_options() {
  return join(
      {tap_options(), change_options(), {list("scale", "NAME[SEL]=X", "multiply an intermediate by a number")}});
}

std::vector<std::string> Probing::scales(const Args& args, const ProbingUse& use) {
  std::vector<std::string> texts;
  if (args.given("scale")) texts = args.list("scale");
  if (use.own_scale) std::erase_if(texts, [](const std::string& text) { return text.find('=') == std::string::npos; });
  return texts;
}

bool Probing::asked(const Args& args, const ProbingUse& use) {
  const std::vector<Option> options = join({tap_options(), change_options()});
  return use.look || !scales(args, use).empty() ||
         std::any_of(options.begin(), options.end(), [&](const Option& o) { return args.given(o.name); });
}

Probing::Probing(const Args& args, const std::function<void(ParameterSource&)>& build, const ProbingUse& use) {
  args.allow_only(args.has("tap-file"), "--tap-file", {"tap"});
  if (args.given("ablate-with") && !args.given("ablate")) throw UsageError("--ablate-with needs --ablate");
  asked_ = asked(args, use);
  if (!asked_) return;
  list_ = pipeformer::list_taps(build, use.training);
  if (args.given("list-taps")) {
    OutputFile out(use.training ? "-" : args.output(), Content::text);  // what train makes is a model
    out.write(describe(list_));
    out.close();
    listed_ = true;
    return;
  }
  const auto texts = [&](const char* option) {
    return args.given(option) ? args.list(option) : std::vector<std::string>();
  };
  const std::pair<Change, std::vector<std::string>> kinds[] = {{Change::patch, texts("patch")},
                                                               {Change::ablate, texts("ablate")},
                                                               {Change::scale, scales(args, use)},
                                                               {Change::add, texts("add")}};
  if (std::any_of(std::begin(kinds), std::end(kinds), [](const auto& kind) { return !kind.second.empty(); })) {
    std::string mean;
    if (args.has("ablate-with")) {
      mean = args.text("ablate-with");
      if (!mean.starts_with("mean:") || mean.size() == 5) throw UsageError("--ablate-with takes mean:FILE");
      mean = mean.substr(5);
    }
    changes_.emplace(list_, mean, run_part(args));
    for (const auto& [change, all] : kinds)
      for (const std::string& text : all) changes_->add(change, text);
  }
  if (args.has("tap-file")) writer_.emplace(args.text("tap-file"), args.list("tap"), list_);
  probe_ = ModelProbe(changes_ ? &*changes_ : nullptr, writer_ ? &*writer_ : nullptr);
  changing_ = ModelProbe(changes_ ? &*changes_ : nullptr, nullptr);
}

void Probing::expect_effects(const std::vector<std::string>& outputs,
                             const std::function<bool(const std::string&, const std::string&)>& reaches) const {
  if (!changes_) return;
  std::vector<std::string> written = outputs;
  for (std::size_t i = 0; writer_ && i < list_.size(); ++i)
    if (writer_->wants({static_cast<std::int32_t>(i)})) written.push_back(list_[i].name);
  for (const auto& [name, text] : changes_->changed()) {
    const auto reached = [&reaches, &from = name](const std::string& to) { return reaches(from, to); };
    if (std::none_of(written.begin(), written.end(), reached))
      throw UsageError(cat(text, ": nothing that is written depends on ", name));
  }
}

void Probing::close(std::int64_t sequences) {
  if (changes_) changes_->close(sequences);
  if (writer_) writer_->close(sequences);
}

}  // namespace pipeformer
