#include "cli/ranks.hpp"

#include "core/threads.hpp"

namespace pipeformer {

int run_ranks(const ToolSpec& spec, int argc, char** argv,
              const std::function<void(const Args&, Communicator&)>& body) {
  std::unique_ptr<Communicator> ranks;
  try {
    ranks = Communicator::open();
  } catch (const Error& error) {
    return run_tool(spec, argc, argv, [&](const Args&) { throw error; });
  }
  if (!ranks->first() && !ranks->start()) return 0;
  const int status = run_tool(spec, argc, argv, [&](const Args& args) {
    if (!args.given("threads")) set_thread_count(ranks->cores(args.threads()));
    body(args, *ranks);
  });
  if (!ranks->started())
    ranks->start(false);
  else if (status != 0)
    ranks->abort(status);
  return status;
}

}  // namespace pipeformer
