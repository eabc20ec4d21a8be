// The texts made from a tool's spec: --help, the man page and the bash completion.
#include <sstream>

#include "cli/options.hpp"

namespace pipeformer::cli {
namespace {

using Kind = Option::Kind;

constexpr std::size_t page_width = 80;
constexpr std::size_t option_column = 26;

/// Characters of UTF-8 text, counted as one column each.
std::size_t columns(const std::string& text) {
  std::size_t n = 0;
  for (const char c : text) n += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return n;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> all;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) all.push_back(line);
  return all;
}

/// Words filled into lines that all begin at `indent`; the first line is expected to stand there already.
std::string wrap(const std::string& text, std::size_t indent) {
  std::string out;
  std::size_t at = indent;
  std::istringstream in(text);
  for (std::string word; in >> word;) {
    const bool first = out.empty();
    if (!first && at + 1 + columns(word) > page_width) {
      out += "\n" + std::string(indent, ' ');
      at = indent;
    } else if (!first) {
      out += ' ';
      ++at;
    }
    out += word;
    at += columns(word);
  }
  return out;
}

/// A description cut into paragraphs to fill and indented lines to keep: (text, keep).
std::vector<std::pair<std::string, bool>> paragraphs(const std::string& text) {
  std::vector<std::pair<std::string, bool>> all;
  bool open = false;
  for (const std::string& line : lines_of(text)) {
    const bool keep = !line.empty() && line.front() == ' ';
    if (line.empty()) {
      open = false;
    } else if (open && all.back().second == keep) {
      all.back().first += "\n" + line;
    } else {
      all.emplace_back(line, keep);
      open = true;
    }
  }
  return all;
}

std::string long_form(const Option& o) {
  if (o.kind == Kind::flag) return (has_negative(o) ? "--[no-]" : "--") + o.name;
  return "--" + o.name + " " + o.value;
}

/// The help of an option with its range and default: "heads that share the width (1 to 512; default: 8)".
std::string explanation(const Option& o) {
  std::string facts = range_text(o);
  const auto add = [&facts](const std::string& fact) { facts += (facts.empty() ? "" : "; ") + fact; };
  if (o.kind == Kind::list) add("may be repeated");
  if (o.kind == Kind::flag) {
    if (o.fallback == "true") add("default: on");
  } else if (!o.fallback.empty() && o.fallback != "-") {
    add("default: " + o.fallback);
  }
  return o.help + (facts.empty() ? "" : " (" + facts + ")");
}

std::string option_lines(const std::vector<Option>& options) {
  std::string out;
  for (const Option& o : options) {
    std::string line = o.letter ? std::string("  -") + o.letter + ", " : "      ";
    line += long_form(o);
    if (columns(line) + 2 > option_column) {
      out += line + "\n";
      line.clear();
    }
    line.append(option_column - columns(line), ' ');
    out += line + wrap(explanation(o), option_column) + "\n";
  }
  return out;
}

// roff

std::string roff(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if (c == '\'') {
      out += "\\(aq";
    } else if (c == '`') {
      out += "\\(ga";
    } else if (c == '^') {
      out += "\\(ha";
    } else if (c == '~') {
      out += "\\(ti";
    } else if (c == '.' && (out.empty() || out.back() == '\n')) {
      out += "\\&.";
    } else {
      out += c;
    }
  }
  return out;
}

std::string roff_block(const std::string& lines) {
  return ".PP\n.nf\n" + roff(lines) + "\n.fi\n";
}

std::string roff_options(const std::vector<Option>& options) {
  std::string out;
  for (const Option& o : options) {
    out += ".TP\n";
    if (o.letter) out += std::string("\\fB\\-") + o.letter + "\\fR, ";
    if (o.kind == Kind::flag) {
      out +=
          "\\fB\\-\\-" + roff(o.name) + "\\fR" + (has_negative(o) ? ", \\fB\\-\\-no\\-" + roff(o.name) + "\\fR" : "");
    } else {
      out += "\\fB\\-\\-" + roff(o.name) + "\\fR \\fI" + roff(o.value) + "\\fR";
    }
    out += "\n" + roff(explanation(o)) + "\n";
  }
  return out;
}

/// Names of other tools take the prefix; an address or a title does not.
bool is_tool_name(const std::string& text) {
  return text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
}

const std::vector<std::pair<std::string, std::string>> exit_statuses = {
    {"0", "everything was read, computed and written"},
    {"1", "a file, its contents or the computation is wrong, or the output could not be written"},
    {"2", "the command line is wrong"}};

/// How a failure reaches the readers of the output.
std::string failure_note(const ToolSpec& spec) {
  if (!spec.writes_records) return "";
  std::string note =
      "A failure, or a signal other than SIGKILL, also makes the readers of records on a pipe fail, with its message.";
  if (!spec.text_options.empty()) note += " Text on a pipe cannot carry it: set pipefail in the shell.";
  return note;
}

}  // namespace

std::string usage_line(const ToolSpec& spec) {
  return "Usage: " + spec.name + " [OPTION]..." + (spec.arguments.empty() ? "" : " " + spec.arguments);
}

std::string version_text(const ToolSpec& spec) {
  return spec.name + " (pipeformer) " PIPEFORMER_VERSION "\n";
}

std::string help_text(const ToolSpec& spec) {
  std::string out = wrap(spec.name + " - " + spec.summary, 0) + "\n\n" + usage_line(spec) + "\n";
  for (const auto& [text, keep] : paragraphs(spec.description)) out += "\n" + (keep ? text : wrap(text, 0)) + "\n";
  if (!spec.options.empty()) out += "\nOptions:\n" + option_lines(spec.options);
  out += "\nOptions of all tools:\n" + option_lines(standard_options(spec));
  if (!spec.examples.empty()) out += "\nExamples:\n";
  for (const auto& [what, command] : spec.examples) {
    out += "  " + wrap(what + ":", 2) + "\n";
    for (const auto& line : lines_of(command)) out += "    " + line + "\n";
  }
  out += "\nExit status: 0 done, 1 failed, 2 wrong usage.\n";
  if (const std::string note = failure_note(spec); !note.empty()) out += wrap(note, 0) + "\n";
  std::string others;
  for (const auto& other : spec.see_also) others += (others.empty() ? "" : ", ") + other;
  if (!others.empty()) out += wrap("See also: " + others, 10) + "\n";
  return out;
}

std::string man_page(const ToolSpec& spec, const std::string& prefix) {
  const std::string name = prefix + spec.name;
  std::string title = name;
  for (char& c : title) c = (c >= 'a' && c <= 'z') ? static_cast<char>(c - 'a' + 'A') : c;
  std::string out = "'\\\" -*- coding: UTF-8 -*-\n.TH \"" + roff(title) +
                    "\" 1 \"\" \"pipeformer " PIPEFORMER_VERSION "\" \"Pipeformer\"\n";
  out += ".SH NAME\n" + roff(name) + " \\- " + roff(spec.summary) + "\n";
  out += ".SH SYNOPSIS\n.B " + roff(name) + "\n[\\fIOPTION\\fR]..." +
         (spec.arguments.empty() ? "" : " " + roff(spec.arguments)) + "\n";
  out += ".SH DESCRIPTION\n";
  bool first = true;
  for (const auto& [text, keep] : paragraphs(spec.description)) {
    out += keep ? roff_block(text) : (first ? "" : ".PP\n") + roff(text) + "\n";
    first = false;
  }
  out += ".SH OPTIONS\n" + roff_options(join({spec.options, standard_options(spec)}));
  if (!spec.examples.empty()) out += ".SH EXAMPLES\n";
  for (const auto& [what, command] : spec.examples) out += ".PP\n" + roff(what) + ":\n" + roff_block("    " + command);
  out += ".SH EXIT STATUS\n";
  for (const auto& [status, meaning] : exit_statuses) out += ".TP\n" + status + "\n" + meaning + "\n";
  if (const std::string note = failure_note(spec); !note.empty()) out += ".PP\n" + roff(note) + "\n";
  if (!spec.see_also.empty()) out += ".SH SEE ALSO\n";
  for (std::size_t i = 0; i < spec.see_also.size(); ++i) {
    const std::string& other = spec.see_also[i];
    const std::string comma = i + 1 < spec.see_also.size() ? "," : "";
    out += is_tool_name(other) ? ".BR " + roff(prefix + other) + " (1)" + comma + "\n" : roff(other) + comma + "\n";
  }
  return out;
}

std::string bash_completion(const ToolSpec& spec, const std::string& prefix) {
  const std::string name = prefix + spec.name;
  std::string function = "_pipeformer_" + spec.name;
  for (char& c : function) c = c == '-' ? '_' : c;
  std::string words, files, cases, commands;
  for (const std::string& command : spec.commands) commands += (commands.empty() ? "" : " ") + command;
  for (const Option& o : join({spec.options, standard_options(spec)})) {
    words += (words.empty() ? "--" : " --") + o.name;
    if (has_negative(o)) words += " --no-" + o.name;
    const std::string spellings = (o.letter ? std::string("-") + o.letter + " | " : "") + "--" + o.name;
    if (o.kind == Kind::choice) {
      std::string choices;
      for (const auto& c : choices_of(o)) choices += (choices.empty() ? "" : " ") + c;
      cases += "    " + spellings + ") mapfile -t COMPREPLY < <(compgen -W '" + choices + "' -- \"$cur\") ;;\n";
    } else if (o.kind != Kind::flag) {
      files += (files.empty() ? "" : " | ") + spellings;
    }
  }
  // No reply: bash falls back to file names, which is right after an option that takes a value too.
  return "# bash completion for " + name + "\n" + function +
         "() {\n  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n" +
         "  COMPREPLY=()\n  case $prev in\n" + cases + "    " + files +
         ") ;;\n    *)\n      if [[ $cur == -* ]]; then mapfile -t COMPREPLY < <(compgen -W '" + words +
         "' -- \"$cur\")" +
         (commands.empty() ? ""
                           : "\n      elif ((COMP_CWORD == 1)); then mapfile -t COMPREPLY < <(compgen -W '" + commands +
                                 "' -- \"$cur\")") +
         "; fi ;;\n  esac\n}\ncomplete -o default -F " + function + " " + name + "\n";
}

}  // namespace pipeformer::cli
