/// The command line of every tool: one table of options, one help layout, one place where errors become exit codes.
///
///   int main(int argc, char** argv) { return pipeformer::run_tool(spec, argc, argv, body); }
#pragma once
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/stream.hpp"

namespace pipeformer {

/// One option of a tool. Flags come as pairs: `--causal` and `--no-causal`.
struct Option {
  enum class Kind { flag, integer, number, text, choice, list };
  std::string name;  ///< Long name without dashes: "dropout".
  Kind kind = Kind::flag;
  std::string value;     ///< Name of the value in the help: "P", "FILE"; for a choice "relu|gelu".
  std::string help;      ///< One sentence, lower case, with unit and effect.
  std::string fallback;  ///< Default as text; empty: the option is absent unless given.
  double minimum = -std::numeric_limits<double>::infinity();  ///< For integer and number, inclusive.
  double maximum = std::numeric_limits<double>::infinity();
  char letter = 0;  ///< Short form, for the options that all tools share and a tool's main one; a flag that has one
                    ///< has no --no- form.
};

/// Shorthands that keep a spec a table.
Option flag(std::string name, std::string help, bool fallback = false);
Option integer(std::string name, std::string value, std::string help, std::string fallback, double minimum,
               double maximum = 2147483647.0);
Option number(std::string name, std::string value, std::string help, std::string fallback, double minimum,
              double maximum);
Option text(std::string name, std::string value, std::string help, std::string fallback = "");
Option choice(std::string name, std::string choices, std::string help, std::string fallback = "");
Option list(std::string name, std::string value, std::string help);  ///< May be repeated.
Option with_letter(char letter, Option);

/// One table from several, for options that tools share: options = join({search_options(), {flag("echo", "...")}}).
std::vector<Option> join(std::initializer_list<std::vector<Option>> tables);

/// What a tool is: its help, man page, completion and parser all come from this.
struct ToolSpec {
  std::string name;
  std::string summary;      ///< One line: "scaled dot-product attention".
  std::string description;  ///< Paragraphs, separated by an empty line: shapes, the rule, the source; wrapped, but for
                            ///< indented lines.
  /// Ordinary arguments as the usage line shows them; their number is checked. Each word is one argument, in [] when it
  /// may be left out, with ... when it may be repeated: "[FILE]", "FILE...", "[FILE...]", "COMMAND FILE...", "" for
  /// none.
  std::string arguments = "[FILE]";
  std::vector<Option> options{};
  std::vector<std::pair<std::string, std::string>> examples;  ///< Two runnable ones: (what it does, command).
  std::vector<std::string> see_also;
  bool uses_model = false;                  ///< Takes -m/--model FILE[:GROUP].
  bool writes_records = true;               ///< Takes --format and --dtype.
  std::vector<std::string> commands{};      ///< What the first ordinary argument may be, when it is a word of ours.
  std::vector<std::string> text_options{};  ///< Of a tool that writes records: with one of these it writes text.
  /// Options that are looked for here but are another tool's: (option, tool).
  std::vector<std::pair<std::string, std::string>> elsewhere{};
  bool uses_models = false;  ///< Takes -m/--model FILE, which may be repeated: Args::list("model").
};

/// The parsed command line. Numbers are already in their range. Asking for the value of an option that was not given
/// and has no default throws UsageError ("option '--heads' is required").
class Args {
 public:
  bool has(const std::string& name) const;    ///< Given, or has a default.
  bool given(const std::string& name) const;  ///< Given by the user (command line or --config).
  bool flag(const std::string& name) const;
  std::int64_t integer(const std::string& name) const;
  double number(const std::string& name) const;
  std::string text(const std::string& name) const;
  std::vector<std::string> list(const std::string& name) const;

  /// Throws UsageError ("--pieces needs what") for an option that is given, and not as --no-..., without the condition.
  void allow_only(bool condition, const std::string& what, const std::vector<std::string>& options) const;

  std::vector<std::string> inputs() const;  ///< Ordinary arguments.
  std::string input() const;             ///< The only one, "-" when none is given; UsageError when that is a terminal.
  std::string output() const;            ///< -o, "-" by default.
  OutputOptions output_options() const;  ///< --format and --dtype.
  std::string model() const;             ///< -m; throws UsageError when it is missing.
  std::uint64_t seed() const;
  int threads() const;  ///< -j, all cores by default.
  bool verbose() const;
  bool quiet() const;
  std::string tool() const;  ///< The name the tool was called by; it begins its messages.

  /// Used by run_tool; public so that tests can parse.
  static Args parse(const ToolSpec&, const std::vector<std::string>& words);  ///< Throws UsageError.
  struct Data;
  explicit Args(std::shared_ptr<const Data> data) : data_(std::move(data)) {}

 private:
  std::shared_ptr<const Data> data_;
};

/// Thrown by a tool that answers by its exit status (peek --diff): ends it so, with a message when there is one.
struct ExitStatus {
  int status;
  std::string message{};
};

/// Parses, handles -h and -V, runs the body, turns exceptions into one line on standard error and the exit status
/// (0 done, 1 failed, 2 usage). Also checks that standard output could be flushed, and tells the readers of its records
/// about the failure (io/failure_record.hpp). `ranks`: the body knows what to do in one of several processes that
/// mpirun started (cli/ranks.hpp); all others refuse, since each process would do everything.
int run_tool(const ToolSpec&, int argc, char** argv, const std::function<void(const Args&)>& body, bool ranks = false);

/// Progress of long work on standard error: a redrawn bar with rate and time left on a terminal, plain lines (at most
/// one each 10 s) elsewhere, nothing with --quiet.
class Progress {
 public:
  /// what: empty when the name of the tool says it. total 0: unknown.
  Progress(const Args&, std::string what, std::int64_t total, std::string unit);
  ~Progress();                                                   ///< Erases an unfinished bar.
  void update(std::int64_t done, const std::string& note = "");  ///< Cheap: draws at most ten times a second.
  void finish(const std::string& summary = "");                  ///< Summary is printed only with --verbose.
  void line(const std::string& text);  ///< A permanent line above the bar (an epoch's result).
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pipeformer
