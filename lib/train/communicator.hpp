/// The processes ("ranks") that train one model together, each on its part of every batch.
#pragma once
#include <memory>
#include <span>

namespace pipeformer {

/// One rank that is alone: nothing to add up, nobody to wait for. That of MPI is in libpipeformer_mpi (lib/train/mpi),
/// which is loaded only when mpirun started the process, so that it costs nobody else the start of MPI.
class Communicator {
 public:
  virtual ~Communicator() = default;
  /// Throws Error when mpirun started the process, and libpipeformer_mpi was not built.
  static std::unique_ptr<Communicator> open();

  virtual int rank() const { return 0; }
  virtual int size() const { return 1; }
  bool first() const { return rank() == 0; }
  /// Of the cores that this process may use, its share: other ranks on the machine may use the same ones.
  virtual int cores(int available) const { return available; }

  /// Each element becomes its sum over the ranks, the same bits on all of them. All ranks call this alike.
  virtual void sum(std::span<float>) {}
  virtual void sum(std::span<double>) {}
  /// Whether it is true on any rank.
  bool any(bool mine);

  /// The first rank sets up before the others, so that what is wrong for all is said once: it calls start(true) when it
  /// is ready, start(false) when it ended instead; the others call start() before anything else. Whether all go on.
  bool start(bool ready = true);
  bool started() const { return started_; }

  /// Ends all ranks at once, with this exit status. When one alone fails, the others wait for it in vain.
  virtual void abort(int) {}

 private:
  bool started_ = false;
};

}  // namespace pipeformer
