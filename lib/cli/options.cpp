#include "cli/options.hpp"

#include <sstream>

namespace pipeformer {

Option flag(std::string name, std::string help, bool fallback) {
  return {std::move(name), Option::Kind::flag, "", std::move(help), fallback ? "true" : "false"};
}
Option integer(std::string name, std::string value, std::string help, std::string fallback, double minimum,
               double maximum) {
  return {std::move(name), Option::Kind::integer, std::move(value), std::move(help), std::move(fallback), minimum,
          maximum};
}
Option number(std::string name, std::string value, std::string help, std::string fallback, double minimum,
              double maximum) {
  return {std::move(name), Option::Kind::number, std::move(value), std::move(help), std::move(fallback), minimum,
          maximum};
}
Option text(std::string name, std::string value, std::string help, std::string fallback) {
  return {std::move(name), Option::Kind::text, std::move(value), std::move(help), std::move(fallback)};
}
Option choice(std::string name, std::string choices, std::string help, std::string fallback) {
  return {std::move(name), Option::Kind::choice, std::move(choices), std::move(help), std::move(fallback)};
}
Option list(std::string name, std::string value, std::string help) {
  return {std::move(name), Option::Kind::list, std::move(value), std::move(help), ""};
}

Option with_letter(char letter, Option option) {
  option.letter = letter;
  return option;
}

std::vector<Option> join(std::initializer_list<std::vector<Option>> tables) {
  std::vector<Option> all;
  for (const auto& table : tables) all.insert(all.end(), table.begin(), table.end());
  return all;
}

namespace cli {
std::vector<Option> standard_options(const ToolSpec& spec) {
  std::vector<Option> all;
  all.push_back(with_letter('o', text("output", "FILE", "write to FILE, not to standard output", "-")));
  if (spec.uses_model) {
    all.push_back(
        with_letter('m', text("model", "FILE[:GROUP]", "take the parameters from this model, or a part of it")));
  }
  if (spec.uses_models)
    all.push_back(
        with_letter('m', list("model", "FILE", "take the parameters from this model; several are an ensemble")));
  if (spec.writes_records) {
    all.push_back(choice("format", "npy|npz|h5", "write this format, by default that of the suffix of FILE, else npy"));
    all.push_back(choice("dtype", "f4|f8|f2", "store floating-point records as this type, by default as computed"));
  }
  all.push_back(with_letter('j', integer("threads", "N", "compute on N threads, by default on all cores", "", 1, 256)));
  all.push_back(integer("seed", "N", "the seed of all random numbers", "1", 0, 9007199254740992.0));
  all.push_back(text("config", "FILE", "read options from FILE, lines 'name = value'; the command line overrides it"));
  all.push_back(with_letter('q', flag("quiet", "no progress")));
  all.push_back(with_letter('v', flag("verbose", "one line of summary at the end")));
  all.push_back(with_letter('h', flag("help", "print this help")));
  all.push_back(with_letter('V', flag("version", "print the version")));
  return all;
}

std::string number_text(double value) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  out.precision(15);
  out << value;
  return out.str();
}

std::string range_text(const Option& option) {
  if (option.kind != Option::Kind::integer && option.kind != Option::Kind::number) return "";
  // A bound that only says "fits the type" would be noise in the help.
  const double large = option.kind == Option::Kind::integer ? 2147483647.0 : 1e300;
  const bool low = option.minimum > -large;
  const bool high = option.maximum < large;
  if (low && high) return number_text(option.minimum) + " to " + number_text(option.maximum);
  if (low) return "at least " + number_text(option.minimum);
  return high ? "at most " + number_text(option.maximum) : "";
}

std::vector<std::string> choices_of(const Option& option) {
  std::vector<std::string> all;
  std::istringstream in(option.value);
  for (std::string word; std::getline(in, word, '|');) all.push_back(word);
  return all;
}

ArgumentCount count_arguments(const std::string& pattern) {
  ArgumentCount count;
  std::istringstream in(pattern);
  for (std::string word; in >> word;) {
    const bool optional = word.front() == '[';
    const bool repeated = word.find("...") != std::string::npos;
    if (!optional) ++count.minimum;
    if (repeated || count.maximum == std::size_t(-1)) {
      count.maximum = std::size_t(-1);
    } else {
      ++count.maximum;
    }
  }
  return count;
}

}  // namespace cli
}  // namespace pipeformer
