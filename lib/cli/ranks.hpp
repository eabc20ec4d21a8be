/// A tool of several processes, started by mpirun.
#pragma once
#include "cli/tool.hpp"
#include "train/communicator.hpp"

namespace pipeformer {

/// run_tool for a body that computes together with the other ranks, and alone without mpirun. The first rank's body
/// must call Communicator::start() when it has set up; the other ranks begin after that, so that errors in the command
/// line and the files are said once. When a rank fails after that, all end with its exit status.
int run_ranks(const ToolSpec&, int argc, char** argv, const std::function<void(const Args&, Communicator&)>& body);

/// run_tool for a body that goes through its records by for_batches, once: started by mpirun with several ranks, the
/// records are dealt to them. The first rank reads the inputs and writes the outputs, to the same bytes as one process;
/// the others need the model and what else the body opens. What goes wrong on any rank is said once.
int run_dealt(const ToolSpec&, int argc, char** argv, const std::function<void(const Args&)>& body);

/// The ranks that for_batches deals to; null when this process is alone.
Communicator* dealing_ranks();

}  // namespace pipeformer
