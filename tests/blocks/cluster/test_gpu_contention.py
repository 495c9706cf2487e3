"""Failed runs: whose fault it was, told by what real programs print."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildloop.blocks.cluster.contention import EARLY_SECONDS, is_contention

EARLY, LATE = 20.0, EARLY_SECONDS + 1
FRAMES = 'Traceback (most recent call last):\n  File "train.py", line 8, in <module>\n    main()\n'

SAYS_NOT_WHOSE = {
    "torch, short": "RuntimeError: CUDA error: out of memory\nCUDA kernel errors might be "
    "asynchronously reported at some other API call\n",
    "torch, no sizes of processes": "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to "
    "allocate 2.00 GiB. GPU 0 has a total capacity of 23.69 GiB of which 12.00 MiB is free.\n",
    "c++": "terminate called after throwing an instance of 'c10::Error'\n"
    "  what():  CUDA out of memory. Tried to allocate 20.00 MiB\nAborted (core dumped)\n",
    "tensorflow": "tensorflow.python.framework.errors_impl.ResourceExhaustedError: Graph execution "
    "error:\n\nDetected at node 'dense/MatMul' defined at (most recent call last):\nNode: 'x'\n"
    "OOM when allocating tensor with shape[4096,8192] and type float on "
    "/job:localhost/replica:0/task:0/device:GPU:0 by allocator GPU_0_bfc\n",
    "tensorflow, at init": "F tensorflow/core/platform/statusor.cc:33] Attempting to fetch value "
    "instead of handling error INTERNAL: failed initializing StreamExecutor for CUDA device "
    "ordinal 0: CUDA_ERROR_OUT_OF_MEMORY: out of memory; total memory reported: 85028896768\n",
    "jax": "jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying "
    "to allocate 4770354232 bytes.\nBufferAssignment OOM Debugging.\n",
    "jax, platform allocator": "jax.errors.JaxRuntimeError: RESOURCE_EXHAUSTED: Failed to allocate "
    "request for 6.27GiB (6727663616B) on device ordinal 0\n",
    "old jax": "RuntimeError: Resource exhausted: Out of memory while trying to allocate 5520 "
    "bytes.\n",
    "cupy": "cupy.cuda.memory.OutOfMemoryError: Out of memory allocating 8,000,000,000 bytes "
    "(allocated so far: 512 bytes).\n",
    "numba": "numba.cuda.cudadrv.driver.CudaAPIError: [2] Call to cuMemAlloc results in "
    "CUDA_ERROR_OUT_OF_MEMORY\n",
    "xgboost": "xgboost.core.XGBoostError: [10:00:00] parallel.cc: Memory allocation error on "
    "worker 0: std::bad_alloc: cudaErrorMemoryAllocation: out of memory\n",
    "nccl": "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1970\n"
    "ncclUnhandledCudaError: Call to CUDA function failed.\nLast error:\n"
    "Cuda failure 2 'out of memory'\n",
    "llama.cpp": "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 4096.00 MiB on device 0: "
    "cudaMalloc failed: out of memory\nllama_model_load: error loading model\n",
    "cublas, torch": "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling "
    "`cublasCreate(handle)`\n",
    "cublas, not initialised": "RuntimeError: CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when "
    "calling `cublasCreate(handle)`\n",
    "cudnn, torch": "RuntimeError: cuDNN error: CUDNN_STATUS_NOT_INITIALIZED\n",
    "cudnn, tensorflow": "E tensorflow/stream_executor/cuda/cuda_dnn.cc:389] Could not create "
    "cudnn handle: CUDNN_STATUS_INTERNAL_ERROR\n",
}
BUSY = {
    "torch": "RuntimeError: CUDA error: all CUDA-capable devices are busy or unavailable\n",
    "newer torch": "torch.AcceleratorError: CUDA error: CUDA-capable device(s) is/are busy or "
    "unavailable\n",
    "cupy": "cupy_backends.cuda.api.runtime.CUDARuntimeError: cudaErrorDevicesUnavailable: "
    "CUDA-capable device(s) is/are busy or unavailable\n",
    "caffe": "F0101 12:00:00.0 1 common.cpp:151] Check failed: error == cudaSuccess (46 vs. 0)  "
    "all CUDA-capable devices are busy or unavailable\n*** Check failure stack trace: ***\n",
    "old exclusive mode": "RuntimeError: cuda runtime error (54) : exclusive-thread device already "
    "in use by a different thread\n",
}
NOT_THE_GPU = {
    "cpu, torch": "RuntimeError: [enforce fail at alloc_cpu.cpp:117] data. DefaultCPUAllocator: "
    "can't allocate memory: you tried to allocate 4000000000000 bytes.\n",
    "cpu, numpy": "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 7.28 TiB for an "
    "array with shape (1000000, 1000000) and data type float64\n",
    "cpu, python": "MemoryError\n",
    "cpu, tensorflow": "tensorflow.python.framework.errors_impl.ResourceExhaustedError: OOM when "
    "allocating tensor with shape[100000,100000] and type float on "
    "/job:localhost/replica:0/task:0/device:CPU:0 by allocator cpu [Op:Mul]\n",
    "cpu, jax": "jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory "
    "allocating 400000000000 bytes.\n",
    "data loader": "RuntimeError: DataLoader worker (pid 71) is killed by signal: Killed.\n",
    "remote quota": "grpc._channel._InactiveRpcError: <_InactiveRpcError of RPC that terminated "
    "with:\n\tstatus = StatusCode.RESOURCE_EXHAUSTED\n\tdetails = 'Quota exceeded'\n",
    "no gpu": "RuntimeError: No CUDA GPUs are available\n",
    "own bug on the gpu": "RuntimeError: CUDA error: device-side assert triggered\n",
    "wrong shape": "RuntimeError: mat1 and mat2 shapes cannot be multiplied (8x4 and 5x2)\n",
    "nothing": "",
}


def torch_message(
    tried: str, own: str, others: str = "", kind: str = "torch.OutOfMemoryError"
) -> str:
    """What PyTorch 2 prints on a GPU of 80 GiB."""
    beside = f"Process 4242 has {others} memory in use. " if others else ""
    return (
        f"{kind}: CUDA out of memory. Tried to allocate {tried}. GPU 0 has a total capacity of "
        f"79.25 GiB of which 10.00 MiB is free. {beside}Including non-PyTorch memory, this process "
        f"has {own} memory in use. Of the allocated memory 1.00 GiB is allocated by PyTorch, and "
        "90.00 MiB is reserved by PyTorch but unallocated.\n"
    )


def old_torch_message(tried: str, reserved: str) -> str:
    """What PyTorch 1 prints on a GPU of 24 GiB."""
    return (
        f"RuntimeError: CUDA out of memory. Tried to allocate {tried} (GPU 0; 23.70 GiB total "
        f"capacity; 1.00 GiB already allocated; 20.00 MiB free; {reserved} reserved in total by "
        "PyTorch)\n"
    )


@pytest.mark.parametrize("name", SAYS_NOT_WHOSE)
def test_full_gpu_is_contention_early_and_the_runs_own_doing_late(name: str) -> None:
    log = "epoch 0\n" + FRAMES + SAYS_NOT_WHOSE[name]
    assert is_contention(log, 1, EARLY) is not None
    assert is_contention(log, 1, EARLY_SECONDS) is not None
    assert is_contention(log, 1, LATE) is None


@pytest.mark.parametrize("name", BUSY)
def test_busy_device_is_contention_whenever_it_is_told(name: str) -> None:
    for seconds in (EARLY, LATE):
        cause = is_contention(FRAMES + BUSY[name], 1, seconds)
        assert cause is not None and "busy or unavailable" in cause


@pytest.mark.parametrize("name", NOT_THE_GPU)
def test_other_failures_are_not_contention(name: str) -> None:
    assert is_contention(FRAMES + NOT_THE_GPU[name], 1, EARLY) is None


@pytest.mark.parametrize("seconds", [EARLY, LATE])
@pytest.mark.parametrize(
    ("message", "contended"),
    [
        (torch_message("2.00 GiB", "8.00 GiB", "71.00 GiB"), True),
        (torch_message("20.00 MiB", "520.00 MiB", "78.00 GiB"), True),
        (torch_message("2.00 GiB", "79.10 GiB"), False),
        (torch_message("90.00 GiB", "500.00 MiB"), False),
        (torch_message("20.00 GiB", "60.00 GiB", "19.00 GiB"), False),
        (torch_message("512 bytes", "1024 bytes", "79.00 GiB"), True),
        (old_torch_message("2.00 GiB", "3.00 GiB"), True),
        (old_torch_message("2.00 GiB", "21.50 GiB"), False),
    ],
)
def test_message_that_tells_whose_the_memory_was_decides(
    message: str, contended: bool, seconds: float
) -> None:
    cause = is_contention(FRAMES + message, 1, seconds)
    assert (cause is not None) == contended
    assert cause is None or "other processes hold too much of it" in cause


def test_the_cause_tells_when() -> None:
    assert is_contention(SAYS_NOT_WHOSE["cupy"], 1, 12.3) == (
        "the GPU is out of memory 12 s after the start"
    )


@pytest.mark.parametrize("exit_code", [0, 130, 137, 143, -9, -15])
def test_success_and_signals_are_not_contention(exit_code: int) -> None:
    assert is_contention(FRAMES + BUSY["torch"], exit_code, EARLY) is None


@pytest.mark.parametrize("exit_code", [None, 1, 2, 134, 139, -6])
def test_other_ends_may_be_contention(exit_code: int | None) -> None:
    assert is_contention(FRAMES + BUSY["torch"], exit_code, EARLY) is not None


def test_full_gpu_that_the_run_survived_is_not_what_it_died_of() -> None:
    survived = FRAMES + SAYS_NOT_WHOSE["torch, short"] + "trying again with batch size 8\n"
    died = FRAMES + "KeyError: 'label'\n"
    assert is_contention(survived + died, 1, EARLY) is None
    assert is_contention(died + survived, 1, EARLY) is not None


def test_errors_that_follow_from_the_first_do_not_hide_it() -> None:
    log = (
        f"[rank0]: {FRAMES}[rank0]: {SAYS_NOT_WHOSE['torch, short']}"
        f"{FRAMES}torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n"
        "train.py FAILED\n"
        f"{FRAMES}subprocess.CalledProcessError: Command 'torchrun' returned non-zero status 1.\n"
    )
    assert is_contention(log, 1, EARLY) is not None


def test_errors_of_clean_up_do_not_hide_the_cause() -> None:
    log = (
        FRAMES
        + SAYS_NOT_WHOSE["torch, short"]
        + "Exception ignored in: <function Loader.__del__ at 0x7f>\n"
        + FRAMES
        + "AttributeError: 'NoneType' object has no attribute 'close'\n"
    )
    assert is_contention(log, 1, EARLY) is not None


def test_windows_line_ends_do_not_matter() -> None:
    survived = FRAMES + SAYS_NOT_WHOSE["torch, short"] + FRAMES + "KeyError: 'label'\n"
    assert is_contention(survived.replace("\n", "\r\n"), 1, EARLY) is None


@given(number=st.text(alphabet="0123456789.", max_size=6))
def test_odd_numbers_in_a_message_raise_nothing(number: str) -> None:
    is_contention(torch_message(f"{number} GiB", f"{number} GiB"), 1, EARLY)
