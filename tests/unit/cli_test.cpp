#include <catch2/catch.hpp>

#include "cli/options.hpp"
#include "cli/tool.hpp"
#include "core/error.hpp"
#include "files.hpp"

using namespace pipeformer;

namespace {

const ToolSpec spec = {
    "probe",
    "print the command line",
    "A description.",
    "[FILE]",
    {integer("heads", "N", "attention heads", "8", 1, 512), integer("width", "N", "a required width", "", 1),
     number("dropout", "P", "probability of dropping", "0.1", 0, 1),
     number("shift", "X", "any number", "", -std::numeric_limits<double>::infinity(),
            std::numeric_limits<double>::infinity()),
     text("title", "TEXT", "any text"), choice("activation", "relu|gelu|silu", "function", "relu"),
     list("target", "FILE", "files"), flag("causal", "sees none after it"), flag("bias", "adds a bias", true)},
    {},
    {},
    true,
    true};

Args parse(const std::vector<std::string>& words) {
  return Args::parse(spec, words);
}

/// The message of the usage error that the words must cause.
std::string complaint(const std::vector<std::string>& words, const ToolSpec& of = spec) {
  try {
    Args::parse(of, words);
  } catch (const UsageError& e) {
    return e.what();
  }
  return "(accepted)";
}

struct ConfigFile {
  test::TemporaryDirectory directory;
  std::string path = directory / "run.conf";
  explicit ConfigFile(const std::string& lines) { test::spit(path, lines); }
};

}  // namespace

TEST_CASE("cli: values and defaults") {
  const Args none = parse({});
  CHECK(none.integer("heads") == 8);
  CHECK(none.number("dropout") == 0.1);
  CHECK(none.text("activation") == "relu");
  CHECK_FALSE(none.flag("causal"));
  CHECK(none.flag("bias"));
  CHECK(none.has("heads"));
  CHECK_FALSE(none.given("heads"));
  CHECK_FALSE(none.has("title"));
  CHECK(none.list("target").empty());
  CHECK(none.output() == "-");
  CHECK(none.seed() == 1);
  CHECK(none.threads() >= 1);
  CHECK_FALSE(none.output_options().format);

  const Args some =
      parse({"--heads", "4", "--shift", "-0.5", "x.npy", "--target=a", "--target", "b", "--causal", "--no-bias", "-o",
             "y.h5", "-m", "model.h5:encoder/0", "--format", "h5", "--dtype=f2", "-j3", "-qv"});
  CHECK(some.integer("heads") == 4);
  CHECK(some.number("shift") == -0.5);
  CHECK(some.list("target") == std::vector<std::string>{"a", "b"});
  CHECK(some.flag("causal"));
  CHECK_FALSE(some.flag("bias"));
  CHECK(some.input() == "x.npy");
  CHECK(some.output() == "y.h5");
  CHECK(some.model() == "model.h5:encoder/0");
  CHECK(*some.output_options().format == "h5");
  CHECK(*some.output_options().dtype == DType::f2);
  CHECK(some.threads() == 3);
  CHECK(some.quiet());
  CHECK(some.verbose());
  CHECK(some.given("heads"));
}

TEST_CASE("cli: '-' is an argument and '--' ends the options") {
  CHECK(parse({"-"}).inputs() == std::vector<std::string>{"-"});
  CHECK(parse({"-o", "-"}).output() == "-");
  CHECK(parse({"--", "--heads"}).input() == "--heads");
  CHECK(parse({"--title", "a b"}).text("title") == "a b");
  CHECK(parse({"--title=x=y"}).text("title") == "x=y");
}

TEST_CASE("cli: numbers are whole, finite and in range") {
  CHECK(complaint({"--heads", "-1"}) == "option '--heads': -1 is out of range: 1 to 512");
  CHECK(complaint({"--heads=513"}) == "option '--heads': 513 is out of range: 1 to 512");
  CHECK(complaint({"--width", "0"}) == "option '--width': 0 is out of range: at least 1");
  CHECK(complaint({"--width", "2147483648"}) == "option '--width': 2147483648 is out of range: at most 2147483647");
  CHECK(complaint({"-j", "0"}) == "option '-j': 0 is out of range: 1 to 256");
  for (const std::string bad : {"3.5", "3x", "x", " 3", "0x10", "1e3", "99999999999999999999"}) {
    CHECK(complaint({"--heads", bad}) == "option '--heads': '" + bad + "' is not a whole number");
  }
  for (const std::string bad : {"nan", "inf", "-inf", "0.5x", "0,5", "1e999"}) {
    CHECK(complaint({"--shift", bad}) == "option '--shift': '" + bad + "' is not a finite number");
  }
  CHECK(complaint({"--dropout", "1.5"}) == "option '--dropout': 1.5 is out of range: 0 to 1");
  CHECK(parse({"--dropout", "1e-3"}).number("dropout") == 0.001);
  CHECK(complaint({"--activation", "tanh"}) == "option '--activation': 'tanh' is not relu, gelu or silu");
  CHECK(parse({"--seed", "9007199254740992"}).seed() == 9007199254740992u);
}

TEST_CASE("cli: what Boost lets pass is refused") {
  CHECK(complaint({"--hea", "3"}) == "unrecognised option '--hea' (did you mean '--heads'?)");
  CHECK(complaint({"--haeds=3"}) == "unrecognised option '--haeds' (did you mean '--heads'?)");
  CHECK(complaint({"--xyzzy"}) == "unrecognised option '--xyzzy'");
  CHECK(complaint({"-x"}) == "unrecognised option '-x'");
  CHECK(complaint({"-q1"}) == "unrecognised option '-1'");
  CHECK(complaint({"-o=file"}) == "write '-o file', not '-o=file'");
  CHECK(parse({"-o", "=file"}).output() == "=file");
  CHECK(complaint({"--causal=true"}) == "option '--causal' takes no value");
  CHECK(complaint({"--causal", "--no-causal"}) == "options '--causal' and '--no-causal' contradict each other");
  CHECK(complaint({"--causal", "--causal"}) == "option '--causal' is given twice");
  CHECK(complaint({"--heads", "3", "--heads", "3"}) == "option '--heads' is given twice");
  CHECK(complaint({"-o", "a", "--output", "b"}) == "option '--output' is given twice");
  CHECK(complaint({"--heads"}) == "option '--heads' needs a value");
  CHECK(complaint({"-o"}) == "option '--output' needs a value");
  CHECK(complaint({"--title="}) == "option '--title' needs a value");
  CHECK(complaint({"--title", ""}) == "option '--title' needs a value");
  CHECK(complaint({"--no-heads"}) == "unrecognised option '--no-heads'");
  CHECK(complaint({"--no-quiet"}) == "unrecognised option '--no-quiet'");
}

TEST_CASE("cli: a value that was not given is asked for") {
  CHECK_THROWS_WITH(parse({}).integer("width"), "option '--width' is required");
  CHECK_THROWS_WITH(parse({}).model(), "option '-m/--model' is required");
  CHECK_THROWS_AS(parse({}).integer("widht"), std::logic_error);
}

TEST_CASE("cli: the number of arguments follows the pattern") {
  ToolSpec of = spec;
  const auto accepts = [&of](std::size_t n) { return complaint(std::vector<std::string>(n, "f"), of) == "(accepted)"; };
  const auto expect = [&](const std::string& pattern, std::vector<bool> counts) {
    of.arguments = pattern;
    for (std::size_t n = 0; n < counts.size(); ++n) {
      INFO(pattern << " with " << n);
      CHECK(accepts(n) == counts[n]);
    }
  };
  expect("", {true, false});
  expect("[FILE]", {true, true, false});
  expect("FILE...", {false, true, true, true});
  expect("[FILE...]", {true, true, true});
  expect("A B", {false, false, true, false});
  expect("COMMAND [FILE]...", {false, true, true, true});
  of.arguments = "[FILE]";
  CHECK(complaint({"a", "b"}, of) == "unexpected argument 'b'");
  CHECK(complaint({""}, of) == "an argument is empty: a file name was expected");
  of.arguments = "FILE...";
  CHECK(complaint({}, of) == "missing argument: FILE...");
}

TEST_CASE("cli: defaults < configuration file < command line") {
  const ConfigFile file(
      "# a comment\nheads = 16\ncausal = true\nbias = false\ntarget = a\ntarget = b\ntitle = two words\n");
  const Args args = parse({"--config", file.path, "--heads", "2"});
  CHECK(args.integer("heads") == 2);
  CHECK(args.flag("causal"));
  CHECK_FALSE(args.flag("bias"));
  CHECK(args.given("causal"));
  CHECK(args.list("target") == std::vector<std::string>{"a", "b"});
  CHECK(args.text("title") == "two words");
  CHECK(args.number("dropout") == 0.1);
  CHECK_FALSE(parse({"--config", file.path, "--no-causal"}).flag("causal"));
  CHECK(parse({"--config", file.path, "--target", "c"}).list("target") == std::vector<std::string>{"c"});

  const auto from = [](const std::string& lines) {
    const ConfigFile bad(lines);
    const std::string message = complaint({"--config", bad.path});
    const auto at = message.find(bad.path);
    return at == std::string::npos ? message : message.substr(0, at) + "F" + message.substr(at + bad.path.size());
  };
  CHECK(from("head = 3\n") == "F: unrecognised option 'head' (did you mean 'heads'?)");
  CHECK(from("heads = 0\n") == "option 'F: heads': 0 is out of range: 1 to 512");
  CHECK(from("heads = 1\nheads = 2\n") == "option 'F: heads' is given twice");
  CHECK(from("causal = maybe\n") == "option 'F: causal': 'maybe' is not true or false");
  CHECK(from("causal\n") == "F: a line is not of the form 'name = value'");
  CHECK(from("config = other\n") == "F: unrecognised option 'config'");
  CHECK(from("help = true\n") == "F: unrecognised option 'help'");
  CHECK_THROWS_WITH(parse({"--config", "/nonexistent/x"}), "/nonexistent/x: cannot open: No such file or directory");
}

TEST_CASE("cli: tables are joined, and two options cannot share a name") {
  ToolSpec of = spec;
  of.options = join({{flag("a", "first")}, {}, {flag("b", "second"), flag("c", "third")}});
  REQUIRE(of.options.size() == 3);
  CHECK(of.options[2].name == "c");
  of.options.push_back(flag("threads", "taken"));
  CHECK_THROWS_AS(Args::parse(of, {}), std::logic_error);
}

TEST_CASE("cli: standard options appear where they mean something") {
  ToolSpec of = spec;
  of.uses_model = false;
  of.writes_records = false;
  CHECK(complaint({"-m", "x"}, of) == "unrecognised option '-m'");
  CHECK(complaint({"--dtype", "f4"}, of) == "unrecognised option '--dtype'");
}

TEST_CASE("cli: help keeps to 80 columns") {
  ToolSpec of = spec;
  of.description =
      "W\u00f6rter " + std::string(300, ' ') + std::string("und noch mehr W\u00f6rter ") + "\n\n  kept   as it is\n\n";
  for (int i = 0; i < 50; ++i) of.description += "w\u00f6rter ";
  const std::string help = cli::help_text(of);
  CHECK(help.find("probe - print the command line\n\nUsage: probe [OPTION]... [FILE]\n") == 0);
  CHECK(help.find("\n  kept   as it is\n") != std::string::npos);
  CHECK(help.find("attention heads (1 to 512; default: 8)") != std::string::npos);
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) {
    INFO(line);
    CHECK(std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xc0) != 0x80; }) <= 80);
  }
}

TEST_CASE("cli: a message is one line") {
  CHECK(cli::one_line("gr\u00f6\u00dfe\nfalsch\t\033[31m\n") == "gr\u00f6\u00dfe falsch \\x1b[31m");
}
