#include "cli/tool.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <new>

#include "cli/options.hpp"
#include "core/threads.hpp"
#include "core/visible.hpp"
#include "io/address.hpp"
#include "io/failure_record.hpp"
#include "io/output_file.hpp"
#include "io/read_files.hpp"
#include "train/communicator.hpp"

namespace pipeformer {
namespace cli {

std::string one_line(const std::string& message) {
  std::string line = message;
  while (!line.empty() && line.back() == '\n') line.pop_back();
  for (char& c : line)
    if (c == '\n' || c == '\r' || c == '\t') c = ' ';
  return visible(line);
}

void write_error(const std::string& text) {
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::write(STDERR_FILENO, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      pollfd room{STDERR_FILENO, POLLOUT, 0};
      ::poll(&room, 1, -1);
      continue;
    }
    if (n <= 0) return;
    done += static_cast<std::size_t>(n);
  }
}

}  // namespace cli

namespace {

/// The name to use in messages: that of the executable when it is the tool's with a prefix (pf-attend), else the
/// tool's.
std::string called_name(const ToolSpec& spec, int argc, char** argv) {
  if (argc < 1) return spec.name;
  const std::string path = argv[0];
  const std::string base = path.substr(path.rfind('/') + 1);
  const bool prefixed =
      base.size() > spec.name.size() && base.compare(base.size() - spec.name.size(), spec.name.size(), spec.name) == 0;
  return prefixed ? base : spec.name;
}

/// A standard stream that the caller has closed would lend its number to the first file that the tool opens: messages
/// would go into an output, a model be read as the input. Its number gets a descriptor whose use fails instead.
void keep_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) < 0) (void)!::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

/// Everything written must have arrived: a full disk is an error of the tool, not of its reader.
void check_standard_output() {
  errno = 0;
  std::cout.flush();
  if (std::fflush(stdout) != 0 || std::ferror(stdout) || !std::cout) {
    throw Error(cat("(stdout): cannot write", errno ? ": " : "", errno ? std::strerror(errno) : ""));
  }
}

void print(const std::string& text) {
  OutputFile out("-", Content::text);
  out.write(text);
  out.close();
}

void generate(const ToolSpec& spec, const std::string& what) {
  if (what == "man") {
    print(cli::man_page(spec, PIPEFORMER_TOOL_PREFIX));
  } else if (what == "completion") {
    print(cli::bash_completion(spec, PIPEFORMER_TOOL_PREFIX));
  } else {
    throw UsageError(cat("option '--generate': '", what, "' is not man or completion"));
  }
}

/// Whether standard output is to carry records, as far as words tell that may not even be options.
bool promises_records(const ToolSpec& spec, const std::vector<std::string>& words) {
  std::vector<std::string> others{"output", "help", "version", "generate"};
  others.insert(others.end(), spec.text_options.begin(), spec.text_options.end());
  const auto otherwise = [&](const std::string& word) {
    if (word.starts_with("-o") || word == "-h" || word == "-V") return true;
    return std::any_of(others.begin(), others.end(),
                       [&](const std::string& name) { return word.substr(0, word.find('=')) == "--" + name; });
  };
  return spec.writes_records && std::none_of(words.begin(), words.end(), otherwise);
}

bool promises_records(const ToolSpec& spec, const Args& args) {
  const auto text = [&](const std::string& name) { return args.given(name) && args.text(name) != "false"; };
  return spec.writes_records && args.output() == "-" &&
         std::none_of(spec.text_options.begin(), spec.text_options.end(), text);
}

/// -o may take the place of an input, as that of sort(1) may: what is written is whole before it does. Not of one of
/// which only a part is read.
void let_output_replace_input(const Args& args) {
  const std::string output = split_address(args.output()).file;
  for (const std::string& input : args.inputs()) {
    const Address read = split_address(input);
    std::error_code none;
    if (read.group.empty() && std::filesystem::equivalent(read.file, output, none)) let_replace(output);
  }
}

void run(const ToolSpec& spec, const ToolSpec& called, const std::vector<std::string>& words,
         const std::function<void(const Args&)>& body, bool ranks) {
  // Help is given even when the rest of the line is wrong.
  for (const auto& word : words) {
    if (word == "--") break;
    if (word == "-h" || word == "--help") return print(cli::help_text(called));
  }
  const Args args = Args::parse(called, words);
  if (args.flag("help")) return print(cli::help_text(called));
  if (args.flag("version")) return print(cli::version_text(called));
  if (args.has("generate")) return generate(spec, args.text("generate"));
  expect_records_on_standard_output(promises_records(spec, args));
  if (!ranks && Communicator::several())
    throw UsageError("mpirun has started several processes, and this tool works in one (PIPEFORMER_MPI=off: in each)");
  let_output_replace_input(args);
  set_thread_count(args.threads());
  body(args);
}

}  // namespace

int run_tool(const ToolSpec& spec, int argc, char** argv, const std::function<void(const Args&)>& body, bool ranks) {
  keep_standard_descriptors();
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is then an error of the write (EFBIG), with a message
  ToolSpec called = spec;
  called.name = called_name(spec, argc, argv);
  std::setvbuf(stderr, nullptr, _IOLBF, BUFSIZ);
  const std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  enable_failure_records(called.name);
  expect_records_on_standard_output(promises_records(spec, words));
  catch_ending_signals();
  watch_read_files();
  const auto fail = [&](int status, const std::string& message, const std::string& more = "", bool upstream = false) {
    // What the tool wrote before the error comes out first, so that data and message appear in order.
    std::cout.flush();
    std::fflush(stdout);
    cli::write_error(called.name + ": " + cli::one_line(message) + "\n" + more);
    write_failure_records(upstream ? message : called.name + ": " + message);
    return status;
  };
  try {
    run(spec, called, words, body, ranks);
    check_standard_output();
    return 0;
  } catch (const ExitStatus& e) {
    return e.message.empty() ? e.status : fail(e.status, e.message);
  } catch (const cli::NoInput& e) {
    return fail(2, e.what(), cli::usage_line(called) + "\nTry '" + called.name + " --help'.\n");
  } catch (const UsageError& e) {
    return fail(2, e.what(), "Try '" + called.name + " --help'.\n");
  } catch (const UpstreamFailure& e) {
    return fail(1, e.what(), "", true);
  } catch (const OutOfMemory& e) {
    return fail(1, e.what());
  } catch (const std::bad_alloc&) {
    return fail(1, "out of memory");
  } catch (const std::exception& e) {
    return fail(1, e.what());
  } catch (...) {
    return fail(1, "unknown failure");
  }
}

}  // namespace pipeformer
