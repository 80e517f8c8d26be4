export function Message({ message }) {
  return (
    <article data-role={message.role} aria-busy={message.parts.some(isComing)}>
      {message.parts.map((part, index) => (
        <Part key={index} part={part} />
      ))}
    </article>
  );
}

function Part({ part }) {
  switch (part.type) {
    case "text":
      return <p className="text">{part.text}</p>;
    case "reasoning":
      return (
        <details open={isComing(part)}>
          <summary>Reasoning</summary>
          {part.text}
        </details>
      );
    case "dynamic-tool":
      return (
        <p className="tool">
          {part.toolName}({JSON.stringify(part.input)}) {result(part)}
        </p>
      );
    case "source-url":
      return (
        <p>
          <a href={/^https?:/.test(part.url) ? part.url : undefined}>{part.title || part.url}</a>
        </p>
      );
    case "data-progress":
      return <progress value={part.data.done} max={part.data.total ?? undefined} />;
    default:
      return part.type.startsWith("data-") ? (
        <p className="tool">
          {part.type.slice(5)}: {JSON.stringify(part.data)}
        </p>
      ) : null;
  }
}

function result(part) {
  if (part.state === "output-available") return `→ ${JSON.stringify(part.output)}`;
  return part.state === "output-error" ? `failed: ${part.errorText}` : "…";
}

function isComing(part) {
  return part.state === "streaming";
}
