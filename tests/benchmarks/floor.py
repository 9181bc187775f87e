"""The floor: the shortest script that sends rows through batches with the SDK and JSON lines.

It remembers nothing, checks nothing and would pay twice after a crash; it is what everything else
is measured against.

Usage: python tests/benchmarks/floor.py ROWS.jsonl RESULTS.jsonl   (OPENAI_BASE_URL, OPENAI_API_KEY)
"""

import json
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

from openai import OpenAI

LINES = 50_000


def main(source: str, target: str) -> None:
    """Build input files, upload, create, poll, download, join and write."""
    client = OpenAI()
    batches = []
    with open(source, encoding="utf-8") as rows, tempfile.TemporaryDirectory() as folder:
        while chunk := list(islice(rows, LINES)):
            path = Path(folder) / "input.jsonl"
            with path.open("w", encoding="utf-8") as file:
                for line in chunk:
                    row = json.loads(line)
                    body = {
                        "model": "gpt-5-mini",
                        "messages": [
                            {"role": "system", "content": "You route support tickets."},
                            {"role": "user", "content": f"Ticket {row['id']}: {row['text']}"},
                        ],
                    }
                    request = {
                        "custom_id": row["id"],
                        "method": "POST",
                        "url": "/v1/chat/completions",
                        "body": body,
                    }
                    file.write(json.dumps(request) + "\n")
            with path.open("rb") as file:
                uploaded = client.files.create(file=("input.jsonl", file), purpose="batch")
            batches.append(
                client.batches.create(
                    input_file_id=uploaded.id,
                    endpoint="/v1/chat/completions",
                    completion_window="24h",
                )
            )
    with open(target, "w", encoding="utf-8") as out, open(source, encoding="utf-8") as rows:
        for batch in batches:
            while (batch := client.batches.retrieve(batch.id)).status != "completed":
                time.sleep(0.5)
            answers = {}
            with client.files.with_streaming_response.content(batch.output_file_id) as response:
                for line in response.iter_lines():
                    reply = json.loads(line)
                    body = reply["response"]["body"]
                    answers[reply["custom_id"]] = body["choices"][0]["message"]["content"]
            for line in islice(rows, LINES):
                row = json.loads(line)
                out.write(json.dumps({"key": row["id"], "row": row, "output": answers[row["id"]]}))
                out.write("\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
