"""Importing a project's modules without leaving traces in the process.

Strategy: while an `Imports` is entered, the project's folder and its `specs/` are importable and
its modules are in `sys.modules`; when it is left, they are taken out again. So two projects can
live in one process, a spec called `email.py` harms nobody afterwards, and every load is fresh.
A spec has two names, `specs.tickets` and `tickets`, for one module.
"""

import hashlib
import importlib
import linecache
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from batchspec.spec.origin import is_users


class Imports:
    """A project's modules, importable while entered.

    Args:
        root: The project's folder, absolute.
        directory: The folder of the specs in it.
    """

    def __init__(self, root: Path, directory: str) -> None:
        self.root = root
        self.package = directory
        self._modules: dict[str, ModuleType] = {}
        self._others: dict[str, ModuleType] = {}
        self._depth = 0
        self._finder = _ProjectFinder(root, directory)

    @contextmanager
    def __call__(self) -> Generator[None]:
        """Make the modules importable; may be entered again inside."""
        if self._depth:
            yield
            return
        self._depth += 1
        displaced = self._claimed()
        for name in displaced:
            del sys.modules[name]
        sys.modules.update(self._modules)
        # Specs themselves come through the finder; the end of the path is for packages beside them,
        # which shall not hide a library.
        sys.path[:] = [str(self.root), *sys.path, str(self.root / self.package)]
        sys.meta_path.insert(0, self._finder)
        importlib.invalidate_caches()
        try:
            yield
        finally:
            sys.meta_path.remove(self._finder)
            for path in (self.root, self.root / self.package):
                if str(path) in sys.path:
                    sys.path.remove(str(path))
            self._modules = self._claimed()
            for name in self._modules:
                del sys.modules[name]
            sys.modules.update(displaced)
            self._depth -= 1

    def load(self, stem: str) -> ModuleType:
        """Import the spec `stem`; must be entered."""
        return importlib.import_module(f"{self.package}.{stem}")

    def _claimed(self) -> dict[str, ModuleType]:
        """Return the modules that are the project's.

        A process has thousands of others and may come here for every call of a tool, so those that
        were seen once are not looked at again.
        """
        present, seen = sys.modules.copy(), self._others
        claimed = {
            name: module
            for name, module in present.items()
            if seen.get(name) is not module and self._claims(name, module)
        }
        self._others = {name: module for name, module in present.items() if name not in claimed}
        return claimed

    def files(self) -> Generator[Path]:
        """Yield the files of the project's modules that were imported."""
        for module in self._modules.values():
            if (file := getattr(module, "__file__", None)) is not None:
                yield Path(file)

    def read(self) -> dict[str, str]:
        """Return BLAKE2b of the modules' files as they were imported, 16 bytes in hex, by path."""
        found: dict[str, str] = {}
        for module in self._modules.values():
            loader = getattr(module.__spec__, "loader", None)
            if isinstance(loader, _FreshLoader) and loader.digest is not None:
                found[str(Path(loader.path))] = loader.digest
        return found

    def _claims(self, name: str, module: ModuleType) -> bool:
        if name == "__main__":
            return False
        if name.partition(".")[0] == self.package:
            return True
        file = getattr(module, "__file__", None)
        return file is not None and self._finder.owns(file)


class _FreshLoader(SourceFileLoader):
    """Compiles the file as it is now.

    Cached bytecode is compared by size and whole second, which a fast editor can beat; and a
    project's folder is not littered.
    """

    digest: str | None = None
    """BLAKE2b of the file as it was read, 16 bytes in hex."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        linecache.cache.pop(path, None)
        source = self.get_data(path)
        self.digest = hashlib.blake2b(source, digest_size=16).hexdigest()
        return self.source_to_code(source, path)


class _AliasLoader(Loader):
    """Gives a module that has another name."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        del spec
        module = importlib.import_module(self._name)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # Between the two calls the import system has written the alias's spec into the module.
        module.__spec__ = self._spec


class _ProjectFinder(MetaPathFinder):
    def __init__(self, root: Path, package: str) -> None:
        self._prefix = str(root) + os.sep
        self._package = package
        self._directory = root / package

    def owns(self, file: str) -> bool:
        return file.startswith(self._prefix) and is_users(file)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == self._package:
            return self._package_spec()
        is_spec = path is None and fullname not in sys.stdlib_module_names
        if is_spec and (self._directory / f"{fullname}.py").is_file():
            return ModuleSpec(fullname, _AliasLoader(f"{self._package}.{fullname}"))
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None or not isinstance(spec.loader, SourceFileLoader):
            return spec
        if self.owns(spec.origin):
            spec.loader = _FreshLoader(fullname, spec.origin)
            spec.cached = None
        return spec

    def _package_spec(self) -> ModuleSpec:
        init = self._directory / "__init__.py"
        loader = _FreshLoader(self._package, str(init)) if init.is_file() else None
        spec = ModuleSpec(self._package, loader, is_package=True)
        spec.submodule_search_locations = [str(self._directory)]
        if loader is not None:
            spec.origin = str(init)
            spec.has_location = True
        return spec
