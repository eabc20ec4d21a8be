#include "cli/ranks.hpp"

#include "cli/dealing.hpp"
#include "core/threads.hpp"
#include "io/relay.hpp"

namespace pipeformer {
namespace {

Communicator*& dealing() {
  static Communicator* ranks = nullptr;
  return ranks;
}

/// The body of a rank that is not the first.
void compute_dealt(const Args& args, Communicator& ranks, const std::function<void(const Args&)>& body) {
  try {
    body(args);
  } catch (const std::exception& error) {
    report_not_ready(ranks, error.what());
  }
}

}  // namespace

int run_ranks(const ToolSpec& spec, int argc, char** argv,
              const std::function<void(const Args&, Communicator&)>& body) {
  std::unique_ptr<Communicator> ranks;
  try {
    ranks = Communicator::open();
  } catch (const Error& error) {
    return run_tool(
        spec, argc, argv, [&](const Args&) { throw error; }, true);
  }
  if (!ranks->first() && !ranks->start()) return 0;
  const int status = run_tool(
      spec, argc, argv,
      [&](const Args& args) {
        if (!args.given("threads")) set_thread_count(ranks->cores(args.threads()));
        body(args, *ranks);
      },
      true);
  if (!ranks->started())
    ranks->start(false);
  else if (status != 0)
    ranks->abort(status);
  return status;
}

Communicator* dealing_ranks() {
  return dealing();
}

int run_dealt(const ToolSpec& spec, int argc, char** argv, const std::function<void(const Args&)>& body) {
  if (!Communicator::several()) return run_tool(spec, argc, argv, body);
  std::unique_ptr<Communicator> ranks;
  try {
    ranks = Communicator::open();
  } catch (const Error& error) {
    return run_tool(
        spec, argc, argv, [&](const Args&) { throw error; }, true);
  }
  const bool first = ranks->first();
  if (ranks->size() == 1) return run_tool(spec, argc, argv, body, true);
  if (!first && !ranks->start()) return 0;
  set_relay(first ? Relay::here : Relay::away);
  dealing() = ranks.get();
  const int status = run_tool(
      spec, argc, argv,
      [&](const Args& args) {
        if (!args.given("threads")) set_thread_count(ranks->cores(args.threads()));
        first ? body(args) : compute_dealt(args, *ranks, body);
      },
      true);
  if (first && !ranks->started()) ranks->start(false);
  return status;
}

}  // namespace pipeformer
