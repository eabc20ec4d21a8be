// The ranks of MPI_COMM_WORLD. The only source that knows MPI; a library of its own, libpipeformer_mpi. An error inside
// MPI ends all ranks with MPI's own message (MPI_ERRORS_ARE_FATAL, its default).
#include "train/communicator.hpp"

#include <mpi.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace pipeformer {
namespace {

// Elements of one call: Open MPI allocates a copy of what it adds up, which for large arrays is fresh pages each time
// (60 million floats, two ranks: 322 ms in one call, 87 ms in pieces of this size).
constexpr std::size_t kPiece = std::size_t{1} << 20;

template <class T>
void sum_in_place(std::span<T> values, MPI_Datatype type) {
  for (std::size_t at = 0; at < values.size(); at += kPiece)
    MPI_Allreduce(MPI_IN_PLACE, values.data() + at, static_cast<int>(std::min(kPiece, values.size() - at)), type,
                  MPI_SUM, MPI_COMM_WORLD);
}

class MpiCommunicator : public Communicator {
 public:
  MpiCommunicator() {
    int level;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &level);  // only the main thread communicates
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
    count_cores();
  }
  ~MpiCommunicator() override { MPI_Finalize(); }
  MpiCommunicator(const MpiCommunicator&) = delete;
  MpiCommunicator& operator=(const MpiCommunicator&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  int cores(int available) const override { return std::clamp(cores_, 1, available); }

  void sum(std::span<float> values) override { sum_in_place(values, MPI_FLOAT); }
  void sum(std::span<double> values) override { sum_in_place(values, MPI_DOUBLE); }
  void abort(int status) override { MPI_Abort(MPI_COMM_WORLD, status); }

 private:
  /// mpirun may give each rank cores of its own, or all ranks all of them: counts who may use which.
  void count_cores() {
    cpu_set_t mine;
    CPU_ZERO(&mine);
    sched_getaffinity(0, sizeof mine, &mine);
    std::array<int, CPU_SETSIZE> users;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) users[static_cast<std::size_t>(cpu)] = CPU_ISSET(cpu, &mine) ? 1 : 0;
    MPI_Comm machine;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &machine);
    MPI_Allreduce(MPI_IN_PLACE, users.data(), CPU_SETSIZE, MPI_INT, MPI_SUM, machine);
    MPI_Comm_free(&machine);
    double share = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &mine)) share += 1.0 / users[static_cast<std::size_t>(cpu)];
    cores_ = static_cast<int>(std::floor(share + 1e-6));
  }

  int rank_ = 0, size_ = 1, cores_ = 1;
};

}  // namespace
}  // namespace pipeformer

extern "C" pipeformer::Communicator* pipeformer_mpi_communicator() {
  return new pipeformer::MpiCommunicator;
}
