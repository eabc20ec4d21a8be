/// A tool of several processes, started by mpirun.
#pragma once
#include "cli/tool.hpp"
#include "train/communicator.hpp"

namespace pipeformer {

/// run_tool for a body that computes together with the other ranks, and alone without mpirun. The first rank's body
/// must call Communicator::start() when it has set up; the other ranks begin after that, so that errors in the command
/// line and the files are said once. When a rank fails after that, all end with its exit status.
int run_ranks(const ToolSpec&, int argc, char** argv, const std::function<void(const Args&, Communicator&)>& body);

}  // namespace pipeformer
