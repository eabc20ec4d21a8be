#include "cli/probe_options.hpp"

#include <algorithm>
#include <string_view>

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

bool Probing::asked(const Args& args, const ProbingUse& use) {
  const std::vector<Option> options = use.own_scale ? join({tap_options(), change_options()}) : probe_options();
  return std::any_of(options.begin(), options.end(), [&](const Option& o) { return args.given(o.name); });
}

Probing::Probing(const Args& args, const std::function<void(ParameterSource&)>& build, const ProbingUse& use) {
  const bool training = use.training;
  const auto asked = [&](const char* option) {
    return args.given(option) && !(use.own_scale && std::string_view(option) == "scale");
  };
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
  asked_ = asked_ || changes || use.look;
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
      if (asked(kind.option))
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
