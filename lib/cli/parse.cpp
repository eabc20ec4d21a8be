// Boost.ProgramOptions cuts the command line into options and values; what they mean is decided here, because its own
// conversions read `--heads -1` as 4294967295, accept `--hea` for `--heads` and keep the = of `-o=file`.
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <set>

#include "cli/options.hpp"
#include "core/suggestion.hpp"
#include "core/threads.hpp"
#include "io/read_files.hpp"

namespace pipeformer {

using Kind = Option::Kind;
namespace po = boost::program_options;

struct Args::Data {
  std::string tool;
  std::map<std::string, Option> options;
  std::map<std::string, std::vector<std::string>> values;  // given or default; a flag is "true" or "false"
  std::set<std::string> given;
  std::vector<std::string> inputs;

  const Option& option(const std::string& name) const {
    const auto found = options.find(name);
    if (found == options.end()) throw std::logic_error("the tool has no option --" + name);
    return found->second;
  }
  const std::string& value(const std::string& name) const {
    const Option& o = option(name);
    const auto found = values.find(name);
    if (found == values.end())
      throw UsageError(cat("option '", o.letter ? cat("-", o.letter, "/--") : "--", name, "' is required"));
    return found->second.front();
  }
};

namespace {

/// One option as the user wrote it; `shown` is how a message calls it.
struct Setting {
  std::string name;
  std::string value;
  std::string shown;
};

template <class T>
bool parse_whole(const std::string& text, T& value) {
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  return result.ec == std::errc() && result.ptr == end;
}

void check_range(const Option& option, double value, const Setting& setting) {
  if (value >= option.minimum && value <= option.maximum) return;
  std::string range = cli::range_text(option);
  if (value > option.maximum)
    range = range.rfind("at least", 0) == 0 ? "at most " + cli::number_text(option.maximum) : range;
  throw UsageError(cat("option '", setting.shown, "': ", setting.value, " is out of range: ", range));
}

/// Checks the text of a value against the kind and range of its option.
void check(const Option& option, const Setting& setting) {
  const auto refuse = [&](const auto&... why) {
    throw UsageError(cat("option '", setting.shown, "': '", setting.value, "' is ", why...));
  };
  if (option.kind == Kind::integer) {
    std::int64_t value = 0;
    if (!parse_whole(setting.value, value)) refuse("not a whole number");
    check_range(option, static_cast<double>(value), setting);
  } else if (option.kind == Kind::number) {
    double value = 0;
    if (!parse_whole(setting.value, value) || !std::isfinite(value)) refuse("not a finite number");
    check_range(option, value, setting);
  } else if (option.kind == Kind::choice) {
    const auto choices = cli::choices_of(option);
    if (std::find(choices.begin(), choices.end(), setting.value) != choices.end()) return;
    std::string all;
    for (const auto& c : choices) all += (all.empty() ? "" : &c == &choices.back() ? " or " : ", ") + c;
    refuse("not ", all);
  } else if (option.kind != Kind::flag && setting.value.empty()) {
    throw UsageError(cat("option '", setting.shown, "' needs a value"));
  }
}

/// Cuts the words of the command line into settings and ordinary arguments.
std::vector<Setting> read_words(const std::vector<Option>& options, const std::vector<std::string>& words,
                                std::vector<std::string>& inputs) {
  po::options_description table;
  std::vector<std::string> names;
  const auto add = [&](const std::string& name, char letter, bool takes_value) {
    const std::string both = letter ? name + "," + letter : name;
    table.add_options()(both.c_str(),
                        takes_value ? static_cast<po::value_semantic*>(po::value<std::string>()) : po::bool_switch());
    names.push_back(name);
  };
  std::map<std::string, Setting> flags;  // every spelling of a flag -> its setting
  std::map<std::string, char> letters;
  for (const Option& o : options) {
    add(o.name, o.letter, o.kind != Kind::flag);
    letters[o.name] = o.letter;
    if (o.kind != Kind::flag) continue;
    flags[o.name] = {o.name, "true", "--" + o.name};
    if (!cli::has_negative(o)) continue;
    add("no-" + o.name, 0, false);
    flags["no-" + o.name] = {o.name, "false", "--no-" + o.name};
  }

  std::vector<po::option> parsed;
  try {
    namespace style = po::command_line_style;
    parsed = po::command_line_parser(words)
                 .options(table)
                 .style(style::unix_style & ~style::allow_guessing)
                 .allow_unregistered()
                 .run()
                 .options;
  } catch (const po::invalid_command_line_syntax& e) {
    const std::string shown = e.get_option_name();
    if (e.kind() == po::invalid_command_line_syntax::extra_parameter) {
      throw UsageError(cat("option '", shown, "' takes no value"));
    }
    throw UsageError(cat("option '", shown, "' needs a value"));
  } catch (const po::error& e) {
    throw UsageError(e.what());
  }

  std::vector<Setting> settings;
  for (const po::option& o : parsed) {
    if (o.position_key >= 0) {
      inputs.insert(inputs.end(), o.value.begin(), o.value.end());
      continue;
    }
    if (o.unregistered) {
      const bool is_short = o.string_key.rfind('-', 0) == 0;
      const std::string typed =
          is_short ? o.string_key : o.original_tokens.front().substr(0, o.original_tokens.front().find('='));
      throw UsageError(cat("unrecognised option '", typed, "'",
                           is_short ? std::string() : suggestion(typed.substr(2), names, "--")));
    }
    const auto flag = flags.find(o.string_key);
    if (flag != flags.end()) {
      settings.push_back(flag->second);
      continue;
    }
    Setting setting{o.string_key, o.value.empty() ? "" : o.value.front(), "--" + o.string_key};
    const std::string& token = o.original_tokens.front();
    if (token.size() > 1 && token[1] != '-') {
      setting.shown = cat("-", letters[o.string_key]);
      // A file whose name begins with = can be given as ./=name.
      if (o.original_tokens.size() == 1 && setting.value.rfind('=', 0) == 0) {
        throw UsageError(cat("write '", setting.shown, " ", setting.value.substr(1), "', not '", token, "'"));
      }
    }
    settings.push_back(setting);
  }
  return settings;
}

/// Reads lines `name = value` (# begins a comment). Flags take true or false.
std::vector<Setting> read_config(const std::vector<Option>& options, const std::string& path) {
  note_read_file(path);
  std::ifstream file(path);
  if (!file) throw Error(cat(path, ": cannot open: ", std::strerror(errno)));
  std::vector<po::option> parsed;
  try {
    parsed = po::parse_config_file(file, po::options_description(), true).options;
  } catch (const po::error&) {
    throw UsageError(cat(path, ": a line is not of the form 'name = value'"));
  }
  if (file.bad()) throw Error(cat(path, ": cannot read"));
  std::vector<std::string> names;
  for (const Option& o : options) {
    if (o.name != "config" && o.name != "help" && o.name != "version" && o.name != "generate") names.push_back(o.name);
  }
  std::vector<Setting> settings;
  for (const po::option& p : parsed) {
    if (std::find(names.begin(), names.end(), p.string_key) == names.end()) {
      throw UsageError(cat(path, ": unrecognised option '", p.string_key, "'", suggestion(p.string_key, names, "")));
    }
    Setting setting{p.string_key, p.value.empty() ? "" : p.value.front(), cat(path, ": ", p.string_key)};
    const auto option =
        std::find_if(options.begin(), options.end(), [&](const Option& o) { return o.name == p.string_key; });
    if (option->kind == Kind::flag && setting.value != "true" && setting.value != "false") {
      throw UsageError(cat("option '", setting.shown, "': '", setting.value, "' is not true or false"));
    }
    settings.push_back(setting);
  }
  return settings;
}

/// Checks the settings of one source (command line or file) and lays them over what stands.
void lay_over(Args::Data& data, const std::vector<Setting>& settings) {
  std::map<std::string, Setting> seen;
  for (const Setting& s : settings) {
    const Option& option = data.option(s.name);
    check(option, s);
    const auto [earlier, first] = seen.emplace(s.name, s);
    if (!first && option.kind != Kind::list) {
      if (earlier->second.value != s.value && option.kind == Kind::flag) {
        throw UsageError(cat("options '", earlier->second.shown, "' and '", s.shown, "' contradict each other"));
      }
      throw UsageError(cat("option '", s.shown, "' is given twice"));
    }
    auto& values = data.values[s.name];
    if (first) values.clear();
    values.push_back(s.value);
    data.given.insert(s.name);
  }
}

}  // namespace

Args Args::parse(const ToolSpec& spec, const std::vector<std::string>& words) {
  auto data = std::make_shared<Data>();
  data->tool = spec.name;
  auto options = join({spec.options, cli::standard_options(spec)});
  options.push_back(
      pipeformer::text("generate", "man|completion", "for the build: print the man page or the bash completion"));
  for (const Option& o : options) {
    if (!data->options.emplace(o.name, o).second) throw std::logic_error("two options are called --" + o.name);
    if (!o.fallback.empty()) data->values[o.name] = {o.fallback};
  }

  for (const auto& [option, tool] : spec.elsewhere)
    for (const std::string& word : words)
      if (word.substr(0, word.find('=')) == "--" + option)
        throw UsageError(cat("option '--", option, "' is not of ", spec.name, " but of ", tool));
  const auto settings = read_words(options, words, data->inputs);
  for (const Setting& s : settings) {
    if (s.name == "config") lay_over(*data, read_config(options, s.value));
  }
  lay_over(*data, settings);

  const auto is_given = [&](const char* name) { return data->given.count(name) != 0; };
  if (!is_given("help") && !is_given("version") && !is_given("generate")) {
    const auto count = cli::count_arguments(spec.arguments);
    if (data->inputs.size() > count.maximum) {
      throw UsageError(cat("unexpected argument '", data->inputs[count.maximum], "'"));
    }
    if (data->inputs.size() < count.minimum) throw UsageError(cat("missing argument: ", spec.arguments));
    for (const auto& input : data->inputs) {
      if (input.empty()) throw UsageError("an argument is empty: a file name was expected");
    }
  }
  return Args(data);
}

bool Args::has(const std::string& name) const {
  return data_->values.count(name) != 0;
}
bool Args::given(const std::string& name) const {
  return data_->given.count(name) != 0;
}
bool Args::flag(const std::string& name) const {
  return data_->value(name) == "true";
}
std::string Args::text(const std::string& name) const {
  return data_->value(name);
}

std::int64_t Args::integer(const std::string& name) const {
  std::int64_t value = 0;
  if (!parse_whole(data_->value(name), value)) throw std::logic_error("not an integer option: --" + name);
  return value;
}

double Args::number(const std::string& name) const {
  double value = 0;
  if (!parse_whole(data_->value(name), value)) throw std::logic_error("not a number option: --" + name);
  return value;
}

std::vector<std::string> Args::list(const std::string& name) const {
  data_->option(name);
  const auto found = data_->values.find(name);
  return found == data_->values.end() ? std::vector<std::string>() : found->second;
}

void Args::allow_only(bool condition, const std::string& what, const std::vector<std::string>& options) const {
  if (condition) return;
  for (const std::string& name : options) {
    const bool off = data_->option(name).kind == Kind::flag && !flag(name);
    if (given(name) && !off) throw UsageError(cat("--", name, " needs ", what));
  }
}

std::vector<std::string> Args::inputs() const {
  return data_->inputs;
}

std::string Args::input() const {
  if (!data_->inputs.empty()) return data_->inputs.front();
  if (::isatty(STDIN_FILENO)) throw cli::NoInput("no FILE is given and standard input is a terminal");
  return "-";
}

std::string Args::output() const {
  return text("output");
}

OutputOptions Args::output_options() const {
  OutputOptions options;
  if (has("format")) options.format = text("format");
  if (has("dtype")) options.dtype = dtype_from_name(text("dtype"));
  return options;
}

std::string Args::model() const {
  return text("model");
}
std::uint64_t Args::seed() const {
  return static_cast<std::uint64_t>(integer("seed"));
}

int Args::threads() const {
  if (has("threads")) return static_cast<int>(integer("threads"));
  cpu_set_t mask;
  if (::sched_getaffinity(0, sizeof mask, &mask) != 0) return thread_count();
  return std::clamp(CPU_COUNT(&mask), 1, 256);
}

bool Args::verbose() const {
  return flag("verbose");
}
bool Args::quiet() const {
  return flag("quiet");
}
std::string Args::tool() const {
  return data_->tool;
}

}  // namespace pipeformer
