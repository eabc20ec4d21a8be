#include "train/communicator.hpp"

#include <dlfcn.h>

#include <cstdlib>
#include <cstring>

#include "core/error.hpp"

namespace pipeformer {
namespace {

/// What Open MPI, MPICH (and Slurm for it) and PMIx say to the processes that they start.
bool started_by_mpirun() {
  if (const char* wish = std::getenv("PIPEFORMER_MPI"); wish && std::strcmp(wish, "off") == 0) return false;
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"})
    if (std::getenv(name)) return true;
  return false;
}

}  // namespace

bool Communicator::several() {
  if (!started_by_mpirun()) return false;
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"})
    if (const char* size = std::getenv(name)) return std::strcmp(size, "1") != 0;
  return true;
}

std::unique_ptr<Communicator> Communicator::open() {
  if (!started_by_mpirun()) return std::make_unique<Communicator>();
  // Never closed: MPI's own threads and handlers may be in it until the process ends.
  void* library = dlopen("libpipeformer_mpi.so", RTLD_NOW | RTLD_GLOBAL);
  require(library != nullptr,
          "started by mpirun, but MPI cannot be used (is it built with PIPEFORMER_MPI? PIPEFORMER_MPI=off in the "
          "environment runs each process alone): ",
          library ? "" : dlerror());
  const auto make = reinterpret_cast<Communicator* (*)()>(dlsym(library, "pipeformer_mpi_communicator"));
  require(make != nullptr, "libpipeformer_mpi.so: is of another version");
  return std::unique_ptr<Communicator>(make());
}

bool Communicator::any(bool mine) {
  double count = mine;
  sum(std::span(&count, 1));
  return count > 0;
}

bool Communicator::start(bool ready) {
  started_ = true;
  return any(first() && ready);
}

}  // namespace pipeformer
