/// Inside lib/cli: the complete table of a tool's options and the texts that are made from it.
#pragma once
#include <string>
#include <vector>

#include "cli/tool.hpp"
#include "core/error.hpp"

namespace pipeformer::cli {

/// Thrown instead of waiting for somebody to type a tensor; run_tool adds the usage line.
class NoInput : public UsageError {
 public:
  using UsageError::UsageError;
};

/// The options that every tool has: output, threads, configuration, help; model and record options when the tool uses
/// them.
std::vector<Option> standard_options(const ToolSpec&);

/// Whether a flag is also offered as --no-name.
inline bool has_negative(const Option& o) {
  return o.kind == Option::Kind::flag && o.letter == 0;
}

/// "1 to 512", "at least 0", or nothing when any value will do.
std::string range_text(const Option&);

/// A bound in its shortest form: "0.1", "512".
std::string number_text(double);

/// The alternatives of a choice: "relu|gelu" -> relu, gelu.
std::vector<std::string> choices_of(const Option&);

/// The number of ordinary arguments that a pattern like "FILE..." allows.
struct ArgumentCount {
  std::size_t minimum = 0;
  std::size_t maximum = 0;
};
ArgumentCount count_arguments(const std::string& pattern);

std::string usage_line(const ToolSpec&);
std::string help_text(const ToolSpec&);
std::string version_text(const ToolSpec&);
/// For the build: `prefix` goes in front of the names of all tools (an installed pf-attend).
std::string man_page(const ToolSpec&, const std::string& prefix);
std::string bash_completion(const ToolSpec&, const std::string& prefix);

/// One message as one line: line breaks become spaces, other control characters '?'; bytes of UTF-8 pass unchanged.
std::string one_line(const std::string& message);

/// Writes text to standard error in one system call, so that the lines of a pipeline's tools do not mix.
void write_error(const std::string& text);

}  // namespace pipeformer::cli
