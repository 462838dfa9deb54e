// Threads that outlive a call: those that torch computes with, else some of our own.
#pragma once
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>

#include <dlfcn.h>
#include <unistd.h>

// The process that loaded torch, by `native`; 0: unknown.
extern "C" int64_t home_process;

// Calls task(0) and some or all of task(1) .. task(helpers) on the team of this thread, which torch's own loops run on as
// well; false where torch has none from GNU's OpenMP. Its threads spin for a while after a loop: beside them, threads of
// our own would have no processor. A forked child has lost the team.
inline bool run_on_team(const std::function<void(int64_t)>& task, int64_t helpers) {
    using Start = void (*)(void (*)(void*), void*, unsigned, unsigned);
    static const Start start = reinterpret_cast<Start>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
    if (!start || getpid() != home_process) return false;
    struct Job {
        const std::function<void(int64_t)>& task;
        const int64_t helpers;
        std::atomic<int64_t> workers{0};
    } job{task, helpers};
    start([](void* data) {
        Job& job = *static_cast<Job*>(data);
        const int64_t worker = job.workers++;
        if (worker <= job.helpers) job.task(worker);
    }, &job, 0, 0);  // 0: all of the team, as one made smaller ends threads that the next loop would have to start again
    return true;
}

// Threads that wait for work. They are never joined: those that wait are no hindrance to the end of the process, and
// the pool itself is left alone. A forked child has none of its parent's threads and makes a pool of its own.
class __attribute__((visibility("hidden"))) Pool {
    std::mutex busy, state;
    std::condition_variable wake, done;
    const std::function<void(int64_t)>* work = nullptr;
    int64_t started = 0, seats = 0, running = 0;
    const pid_t owner = getpid();

    void wait_for_work() {
        std::unique_lock<std::mutex> lock(state);
        for (;;) {
            wake.wait(lock, [&] { return seats > 0; });
            const int64_t worker = seats--;
            ++running;
            const auto* task = work;
            lock.unlock();
            (*task)(worker);
            lock.lock();
            if (--running == 0) done.notify_one();
        }
    }

    void start(int64_t wanted) {
        try {
            for (; started < wanted; ++started) std::thread([this] { wait_for_work(); }).detach();
        } catch (const std::system_error&) {  // done without
        }
    }

  public:
    static Pool& mine() {
        static std::atomic<Pool*> current{nullptr};
        Pool* pool = current.load();
        if (pool && pool->owner == getpid()) return *pool;
        Pool* fresh = new Pool;
        if (current.compare_exchange_strong(pool, fresh)) return *fresh;
        delete fresh;
        return *pool;
    }

    // Calls task(0) here and task(1) .. task(helpers) on threads that are free in time; all alone if another thread of
    // the process is at it.
    void run(const std::function<void(int64_t)>& task, int64_t helpers) {
        if (helpers && run_on_team(task, helpers)) return;
        std::unique_lock<std::mutex> alone(busy, std::try_to_lock);
        if (!helpers || !alone.owns_lock()) return task(0);
        {
            std::lock_guard<std::mutex> lock(state);
            start(helpers);
            work = &task;
            seats = std::min(helpers, started);
        }
        wake.notify_all();
        task(0);
        std::unique_lock<std::mutex> lock(state);
        seats = 0;
        done.wait(lock, [&] { return running == 0; });
    }
};
