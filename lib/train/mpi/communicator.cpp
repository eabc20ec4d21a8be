// The ranks of MPI_COMM_WORLD. The only source that knows MPI; a library of its own, libpipeformer_mpi. An error inside
// MPI ends all ranks with MPI's own message (MPI_ERRORS_ARE_FATAL, its default).
#include "train/communicator.hpp"

#include <mpi.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <mutex>
#include <thread>

#include "core/half.hpp"

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

// Bytes of one message: MPI counts in int.
constexpr std::size_t kMessage = std::size_t{1} << 30;

/// Between two looks whether something has come: at first soon, so that an answer that is near is not waited for.
class Pause {
 public:
  void wait() {
    std::this_thread::sleep_for(std::chrono::microseconds(microseconds_));
    microseconds_ = std::min(2 * microseconds_, 1000);
  }

 private:
  int microseconds_ = 20;
};

class MpiCommunicator : public Communicator {
 public:
  MpiCommunicator() {
    int level;
    // Sums are the main thread's; messages any thread's, one call at a time.
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &level);
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

  void sum_in_bfloat16(std::span<float> values) override {
    if (size_ == 1) return;
    for (std::size_t at = 0; at < values.size(); at += kPiece)
      sum_piece_in_bfloat16(values.subspan(at, std::min(kPiece, values.size() - at)));
  }

  void send(int to, int channel, std::span<const std::byte> bytes) override {
    std::uint64_t size = bytes.size();
    send_part(to, channel, &size, sizeof size);
    for (std::size_t at = 0; at < bytes.size(); at += kMessage)
      send_part(to, channel, bytes.data() + at, std::min(kMessage, bytes.size() - at));
  }
  std::vector<std::byte> receive(int from, int channel) override {
    std::uint64_t size = 0;
    receive_part(from, channel, &size, sizeof size);
    std::vector<std::byte> bytes(size);
    for (std::size_t at = 0; at < bytes.size(); at += kMessage)
      receive_part(from, channel, bytes.data() + at, std::min(kMessage, bytes.size() - at));
    return bytes;
  }

  void abort(int status) override { MPI_Abort(MPI_COMM_WORLD, status); }

 private:
  /// Each rank adds up one part of the elements, of which all send it theirs, and sends all the sums.
  void sum_piece_in_bfloat16(std::span<float> values) {
    const auto ranks = static_cast<std::size_t>(size_), part = (values.size() + ranks - 1) / ranks;
    const auto count = static_cast<int>(part);
    rounded_.assign(part * ranks, 0);
    received_.resize(part * ranks);
    std::transform(values.begin(), values.end(), rounded_.begin(), bfloat16_from_float);
    MPI_Alltoall(rounded_.data(), count, MPI_UINT16_T, received_.data(), count, MPI_UINT16_T, MPI_COMM_WORLD);
    sums_.resize(part);
    for (std::size_t i = 0; i < part; ++i) {
      float sum = float_from_bfloat16(received_[i]);
      for (std::size_t r = 1; r < ranks; ++r) sum += float_from_bfloat16(received_[r * part + i]);
      sums_[i] = bfloat16_from_float(sum);
    }
    MPI_Allgather(sums_.data(), count, MPI_UINT16_T, rounded_.data(), count, MPI_UINT16_T, MPI_COMM_WORLD);
    std::transform(rounded_.begin(), rounded_.begin() + static_cast<std::ptrdiff_t>(values.size()), values.begin(),
                   float_from_bfloat16);
  }

  // Nobody waits inside MPI, where a thread would keep the others out and a processor busy.
  void send_part(int to, int channel, const void* from, std::size_t size) {
    MPI_Request request;
    {
      const std::lock_guard lock(calling_);
      MPI_Isend(from, static_cast<int>(size), MPI_BYTE, to, channel, MPI_COMM_WORLD, &request);
    }
    finish(request);
  }
  void receive_part(int from, int channel, void* to, std::size_t size) {
    MPI_Request request;
    {
      const std::lock_guard lock(calling_);
      MPI_Irecv(to, static_cast<int>(size), MPI_BYTE, from, channel, MPI_COMM_WORLD, &request);
    }
    finish(request);
  }
  void finish(MPI_Request& request) {
    for (Pause pause;; pause.wait()) {
      const std::lock_guard lock(calling_);
      int done = 0;
      MPI_Test(&request, &done, MPI_STATUS_IGNORE);
      if (done) return;
    }
  }

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
  std::mutex calling_;
  std::vector<std::uint16_t> rounded_, received_, sums_;
};

}  // namespace
}  // namespace pipeformer

extern "C" pipeformer::Communicator* pipeformer_mpi_communicator() {
  return new pipeformer::MpiCommunicator;
}
