"""Taking away what a system has not: names of modules, modules, and files of Linux's kernel."""

from __future__ import annotations

import builtins
import errno
import io
import os
import sys

KERNEL = ("/proc", "/sys")


def preload():
    """Import what looks at the system when it is imported: what of it runs here is Linux's."""
    import asyncio
    import concurrent.futures
    import mimetypes
    import multiprocessing.connection
    import multiprocessing.spawn
    import shutil
    import sqlite3
    import subprocess
    import tempfile
    import urllib.request
    import zipfile

    import ml_dtypes
    import numpy.lib.format
    import onnx.reference
    import onnxruntime
    import PIL.Image
    import rich.console
    import rich.progress
    import safetensors.numpy
    import scipy.stats
    import torch
    import typer.main

    tempfile._O_TMPFILE_WORKS = False  # Linux alone has such files
    mimetypes.init()  # which asks the registry there
    shutil._use_fd_functions = False  # what rmtree does where there is no dir_fd
    return (
        *(asyncio, concurrent.futures, multiprocessing, shutil, sqlite3, subprocess, tempfile, urllib.request, zipfile),
        *(ml_dtypes, numpy, onnx, onnxruntime, PIL, rich, safetensors, scipy, torch, typer),
    )


def take_away(module, names):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)


def hide_modules(*names):
    for name in names:
        sys.modules[name] = None


def hide_kernel_files():
    """Have no /proc and no /sys, for whoever asks Python."""

    def hiding(real):
        def call(path=".", *arguments, **options):
            if isinstance(path, str | os.PathLike) and str(path).startswith(KERNEL):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
            return real(path, *arguments, **options)

        return call

    for module, name in (
        *((os, name) for name in ("open", "stat", "lstat", "listdir", "scandir", "readlink", "access")),
        (builtins, "open"),
        (io, "open"),
    ):
        setattr(module, name, hiding(getattr(module, name)))
