/// The processes ("ranks") that train one model together, each on its part of every batch, or that share the batches of
/// a tool.
#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace pipeformer {

/// One rank that is alone: nothing to add up, nobody to wait for. That of MPI is in libpipeformer_mpi (lib/train/mpi),
/// which is loaded only when mpirun started the process, so that it costs nobody else the start of MPI.
class Communicator {
 public:
  virtual ~Communicator() = default;
  /// Throws Error when mpirun started the process, and libpipeformer_mpi was not built.
  static std::unique_ptr<Communicator> open();
  /// Whether mpirun started this process and others; not with PIPEFORMER_MPI=off in the environment.
  static bool several();

  virtual int rank() const { return 0; }
  virtual int size() const { return 1; }
  bool first() const { return rank() == 0; }
  /// Of the cores that this process may use, its share: other ranks on the machine may use the same ones.
  virtual int cores(int available) const { return available; }

  /// Each element becomes its sum over the ranks, the same bits on all of them. All ranks call this alike.
  virtual void sum(std::span<float>) {}
  virtual void sum(std::span<double>) {}
  /// The same with half the bytes on their way: each rank's element is rounded to bfloat16, those are added up in
  /// float32 in the order of the ranks, and the sum is rounded to bfloat16 (to nearest, ties to even, both times).
  /// A rank that is alone keeps its float32.
  virtual void sum_in_bfloat16(std::span<float>) {}
  /// Of gradients: in float32, or as set_bfloat16_gradients() says.
  void sum_gradients(std::span<float> gradients) { bfloat16_gradients_ ? sum_in_bfloat16(gradients) : sum(gradients); }
  void set_bfloat16_gradients(bool on) { bfloat16_gradients_ = on; }

  /// Messages from one rank to another, which arrive in the order in which they are sent on a channel (from 0). From
  /// any thread, but for one channel from one at a time on each side; who waits sleeps.
  virtual void send(int /*to*/, int /*channel*/, std::span<const std::byte>) {}
  virtual std::vector<std::byte> receive(int /*from*/, int /*channel*/) { return {}; }
  /// Whether it is true on any rank.
  bool any(bool mine);

  /// The first rank sets up before the others, so that what is wrong for all is said once: it calls start(true) when it
  /// is ready, start(false) when it ended instead; the others call start() before anything else. Whether all go on.
  bool start(bool ready = true);
  bool started() const { return started_; }

  /// Ends all ranks at once, with this exit status. When one alone fails, the others wait for it in vain.
  virtual void abort(int) {}

 private:
  bool started_ = false, bfloat16_gradients_ = false;
};

}  // namespace pipeformer
