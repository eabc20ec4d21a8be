#include "cli/probe_options.hpp"

#include "core/error.hpp"
#include "io/output_file.hpp"
#include "io/relay.hpp"
#include "models/describe.hpp"

namespace pipeformer {

std::vector<Option> tap_options() {
  return {
      flag("list-taps", "write the name and shape of every intermediate, and do nothing else"),
      list("tap", "GLOB", "write the intermediates whose names match, for example 'encoder/*/weights'"),
      text("tap-file", "FILE.h5", "where --tap writes: a stream a name (without --tap: all of them)"),
  };
}

std::vector<Option> probe_options() {
  return join(
      {tap_options(),
       {list("patch", "NAME[SEL]=FILE", "put a file's values in the place of an intermediate, or a part of it"),
        list("ablate", "NAME[SEL]", "put zeros in the place of an intermediate"),
        text("ablate-with", "mean:FILE", "--ablate: put the mean of a file's vectors there instead of zeros"),
        list("scale", "NAME[SEL]=X", "multiply an intermediate by a number"),
        list("add", "NAME[SEL]=FILE", "add a file's values to an intermediate; one vector: at all positions")}});
}

Probing::Probing(const Args& args, const std::function<void(ParameterSource&)>& build, bool look, bool training) {
  const auto asked = [&](const char* option) { return args.given(option); };
  asked_ = asked("list-taps") || asked("tap") || asked("tap-file");
  part_ = asked("skip") || asked("take") || relay() != Relay::none;
  struct {
    const char* option;
    Change change;
  } const kinds[] = {
      {"patch", Change::patch}, {"ablate", Change::ablate}, {"scale", Change::scale}, {"add", Change::add}};
  bool changes = false;
  for (const auto& kind : kinds) changes = changes || asked(kind.option);
  args.allow_only(args.has("tap-file"), "--tap-file", {"tap"});
  if (asked("ablate-with") && !asked("ablate")) throw UsageError("--ablate-with needs --ablate");
  asked_ = asked_ || changes || look;
  if (!asked_) return;
  list_ = pipeformer::list_taps(build, training);
  if (asked("list-taps")) {
    OutputFile out(training ? "-" : args.output(), Content::text);  // what train makes is a model
    out.write(describe(list_));
    out.close();
    listed_ = true;
    return;
  }
  if (changes) {
    std::string mean;
    if (args.has("ablate-with")) {
      mean = args.text("ablate-with");
      if (!mean.starts_with("mean:") || mean.size() == 5) throw UsageError("--ablate-with takes mean:FILE");
      mean = mean.substr(5);
    }
    changes_.emplace(list_, mean);
    for (const auto& kind : kinds)
      for (const std::string& text : args.list(kind.option)) changes_->add(kind.change, text);
  }
  if (args.has("tap-file")) writer_.emplace(args.text("tap-file"), args.list("tap"), list_);
  probe_ = ModelProbe(changes_ ? &*changes_ : nullptr, writer_ ? &*writer_ : nullptr);
  changing_ = ModelProbe(changes_ ? &*changes_ : nullptr, nullptr);
}

void Probing::close(std::int64_t sequences) {
  if (changes_ && !part_) changes_->close(sequences);
  if (writer_) writer_->close(sequences);
}

}  // namespace pipeformer
