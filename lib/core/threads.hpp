/// The one team of threads of a process. Every parallel loop of the library goes through parallel_for, and no result
/// may depend on how many threads there are: work is cut at fixed places, each piece computed in one fixed order (law
/// 4).
#pragma once
#include <cstdint>
#include <functional>

namespace pipeformer {

/// Sets the size of the team (at least 1). Called once by run_tool from -j/--threads; the default is all cores. Where
/// the system does not give as many threads, the team is smaller.
void set_thread_count(int threads);
int thread_count();

/// A non-owning reference to a callable void(int64_t begin, int64_t end); cheaper than std::function in hot loops.
class RangeBody {
 public:
  template <class F>
  RangeBody(F& body)  // NOLINT(google-explicit-constructor)
      : object_(&body), call_([](void* o, std::int64_t b, std::int64_t e) { (*static_cast<F*>(o))(b, e); }) {}
  void operator()(std::int64_t begin, std::int64_t end) const { call_(object_, begin, end); }

 private:
  void* object_;
  void (*call_)(void*, std::int64_t, std::int64_t);
};

/// Runs body over [0, count) cut in pieces of `grain` items (the last may be shorter), pieces handed to threads as they
/// become free. Of what pieces throw, the exception of the first of them in order is rethrown here, whatever the
/// threads. Calls from inside a body are shared with the threads that have nothing to do, or run serially.
void parallel_for_ranges(std::int64_t count, std::int64_t grain, RangeBody body);

template <class F>
void parallel_for(std::int64_t count, std::int64_t grain, F body) {
  parallel_for_ranges(count, grain, body);
}

}  // namespace pipeformer
